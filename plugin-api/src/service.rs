//! Typed services between plugins (`plugins §5`).

use crate::plugin::PluginId;
use std::{
    any::{Any, TypeId},
    marker::PhantomData,
    sync::Arc,
};

/// The typed id of a service: `const SECRETS: ServiceRef<dyn SecretResolver> = ServiceRef::new("secrets.resolver");`
pub struct ServiceRef<T: ?Sized> {
    /// The id.
    pub id: &'static str,
    marker: PhantomData<fn() -> Arc<T>>,
}

impl<T: ?Sized> ServiceRef<T> {
    /// A reference by id.
    pub const fn new(id: &'static str) -> Self {
        Self {
            id,
            marker: PhantomData,
        }
    }
}
impl<T: ?Sized> Clone for ServiceRef<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: ?Sized> Copy for ServiceRef<T> {}

/// Why a service could not be had (`plugins §5.2`).
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum ServiceError {
    /// Nobody provides it.
    #[error("unknown service {service}, asked for by plugin {consumer}")]
    Unknown {
        /// The service id.
        service: &'static str,
        /// Who asked.
        consumer: PluginId,
    },
    /// It is registered with another type.
    #[error("service {service} has another type than plugin {consumer} expects")]
    TypeMismatch {
        /// The service id.
        service: &'static str,
        /// Who asked.
        consumer: PluginId,
    },
    /// Its provider has not been initialised yet.
    #[error(
        "service {service} of plugin {provider} is not ready yet, asked for by plugin {consumer}"
    )]
    NotReady {
        /// The service id.
        service: &'static str,
        /// Who declared it.
        provider: PluginId,
        /// Who asked.
        consumer: PluginId,
    },
    /// Registered without having been declared in `register`, so no consumer could be ordered after it.
    #[error(
        "plugin {provider} registers service {service} without declaring it with `provides` in `register`"
    )]
    Undeclared {
        /// The service id.
        service: &'static str,
        /// Who registers it.
        provider: PluginId,
    },
    /// A service with this id exists already.
    #[error("service {service} is already registered; plugin {second} must not register it again")]
    Duplicate {
        /// The service id.
        service: &'static str,
        /// Who came second.
        second: PluginId,
    },
}

/// A service with its type forgotten: an `Arc<Arc<T>>` behind `Any`.
#[derive(Clone)]
pub struct AnyService {
    type_id: TypeId,
    value: Arc<dyn Any + Send + Sync>,
}

impl AnyService {
    /// Forgets the type.
    pub fn new<T: ?Sized + Send + Sync + 'static>(service: Arc<T>) -> Self {
        Self {
            type_id: TypeId::of::<T>(),
            value: Arc::new(service),
        }
    }
    /// Remembers it; none when it is another type.
    pub fn get<T: ?Sized + Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        if self.type_id == TypeId::of::<T>() {
            self.value.downcast_ref::<Arc<T>>().cloned()
        } else {
            None
        }
    }
}

/// Makes a service for each consumer, so that it can carry the consumer's identity.
pub type ServiceFactory = Arc<dyn Fn(&PluginId) -> AnyService + Send + Sync>;

/// Looks services up for one consumer; object-safe, so that it can travel into actions.
pub trait ServiceLookup: Send + Sync {
    /// The service, or why not.
    fn lookup(
        &self,
        service: &'static str,
        consumer: &PluginId,
    ) -> Result<AnyService, ServiceError>;
}

/// Service access with the consumer's identity.
#[derive(Clone)]
pub struct Services {
    lookup: Arc<dyn ServiceLookup>,
    consumer: PluginId,
}

impl Services {
    /// Access for one consumer.
    pub fn new(lookup: Arc<dyn ServiceLookup>, consumer: PluginId) -> Self {
        Self { lookup, consumer }
    }
    /// The service, never an empty value.
    pub fn get<T: ?Sized + Send + Sync + 'static>(
        &self,
        service: &ServiceRef<T>,
    ) -> Result<Arc<T>, ServiceError> {
        self.lookup
            .lookup(service.id, &self.consumer)?
            .get::<T>()
            .ok_or(ServiceError::TypeMismatch {
                service: service.id,
                consumer: self.consumer.clone(),
            })
    }
    /// The service if its provider is installed.
    pub fn optional<T: ?Sized + Send + Sync + 'static>(
        &self,
        service: &ServiceRef<T>,
    ) -> Result<Option<Arc<T>>, ServiceError> {
        match self.get(service) {
            Ok(s) => Ok(Some(s)),
            Err(ServiceError::Unknown { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }
    /// The same registry for another consumer.
    pub fn for_consumer(&self, consumer: PluginId) -> Self {
        Self {
            lookup: self.lookup.clone(),
            consumer,
        }
    }
}
