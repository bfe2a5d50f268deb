//! Names to addresses, with a bound on how many look-ups are under way.

use super::failure;
use futures::future::BoxFuture;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tollgate_runtime::EgressError;

/// Resolves a host name.
pub trait Resolve: Send + Sync {
    /// Every address of the name, in the order in which they should be tried.
    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// Resolves as the system does: hosts file, DNS, and whatever else it is set up with.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// A resolver behind the host's bound.
pub(super) struct Lookups {
    resolver: Arc<dyn Resolve>,
    places: Arc<Semaphore>,
}

impl Lookups {
    pub(super) fn new(resolver: Arc<dyn Resolve>, places: usize) -> Self {
        Self { resolver, places: Arc::new(Semaphore::new(places)) }
    }

    /// The addresses of a host, within the bounds of the host and of `tenant`. A host that is an address is itself.
    pub(super) async fn addresses(
        &self,
        tenant: &Arc<Semaphore>,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, EgressError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let own = Arc::clone(tenant).acquire_owned().await.map_err(|_| failure::of_dns())?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| failure::of_dns())?;
        let lookup = self.resolver.resolve(host, port);
        // The system's look-up can't be stopped. Whoever waits may leave, but its places stay taken until it is over.
        let task = tokio::spawn(async move {
            let found = lookup.await;
            drop((own, place));
            found
        });
        match task.await {
            Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
            Ok(Ok(_) | Err(_)) | Err(_) => Err(failure::of_dns()),
        }
    }
}
