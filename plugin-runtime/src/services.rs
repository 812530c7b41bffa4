//! The service registry (`plugins §5`): who declared what, who needs what, and the values.

use plugin_api::{
    PluginId,
    service::{AnyService, ServiceError, ServiceFactory},
};
use std::{collections::HashMap, sync::RwLock};

#[derive(Default)]
struct Entry {
    provider: Option<PluginId>,
    instance: Option<AnyService>,
    factory: Option<ServiceFactory>,
}

#[derive(Default)]
struct State {
    entries: HashMap<&'static str, Entry>,
    needs: Vec<(PluginId, &'static str)>,
}

/// All services of one host.
#[derive(Default)]
pub(crate) struct ServiceRegistry(RwLock<State>);

impl ServiceRegistry {
    /// `by` will provide the service.
    pub fn declare(&self, by: &PluginId, service: &'static str) -> Result<(), ServiceError> {
        let mut state = self.0.write().expect("services");
        let entry = state.entries.entry(service).or_default();
        match &entry.provider {
            Some(p) if p != by => Err(ServiceError::Duplicate {
                service,
                second: by.clone(),
            }),
            _ => {
                entry.provider = Some(by.clone());
                Ok(())
            }
        }
    }

    /// `by` depends on the service.
    pub fn require(&self, by: &PluginId, service: &'static str) {
        let mut state = self.0.write().expect("services");
        state.needs.push((by.clone(), service));
    }

    /// Registers an instance.
    pub fn put(
        &self,
        by: &PluginId,
        service: &'static str,
        value: AnyService,
    ) -> Result<(), ServiceError> {
        self.fill(by, service, |e| &mut e.instance, value)
    }

    /// Registers a factory; it wins over an instance.
    pub fn put_factory(
        &self,
        by: &PluginId,
        service: &'static str,
        factory: ServiceFactory,
    ) -> Result<(), ServiceError> {
        self.fill(by, service, |e| &mut e.factory, factory)
    }

    fn fill<T>(
        &self,
        by: &PluginId,
        service: &'static str,
        slot: impl FnOnce(&mut Entry) -> &mut Option<T>,
        value: T,
    ) -> Result<(), ServiceError> {
        let mut state = self.0.write().expect("services");
        let entry = state.entries.entry(service).or_default();
        match &entry.provider {
            None => Err(ServiceError::Undeclared {
                service,
                provider: by.clone(),
            }),
            Some(p) if p != by => Err(ServiceError::Duplicate {
                service,
                second: by.clone(),
            }),
            Some(_) => {
                let slot = slot(entry);
                if slot.is_some() {
                    return Err(ServiceError::Duplicate {
                        service,
                        second: by.clone(),
                    });
                }
                *slot = Some(value);
                Ok(())
            }
        }
    }

    /// The service for one consumer.
    pub fn lookup(
        &self,
        service: &'static str,
        consumer: &PluginId,
    ) -> Result<AnyService, ServiceError> {
        let factory = {
            let state = self.0.read().expect("services");
            let unknown = ServiceError::Unknown {
                service,
                consumer: consumer.clone(),
            };
            let entry = state.entries.get(service).ok_or(unknown)?;
            match (&entry.factory, &entry.instance, &entry.provider) {
                (Some(factory), _, _) => factory.clone(),
                (None, Some(instance), _) => return Ok(instance.clone()),
                (None, None, provider) => {
                    return Err(ServiceError::NotReady {
                        service,
                        provider: provider.clone().unwrap_or(plugin_api::core::CORE),
                        consumer: consumer.clone(),
                    });
                }
            }
        };
        // Outside the lock: a factory may look services up itself.
        Ok(factory(consumer))
    }

    /// Services a plugin declared and has not provided, sorted.
    pub fn missing(&self, of: &PluginId) -> Vec<&'static str> {
        let state = self.0.read().expect("services");
        let mut missing: Vec<&'static str> = state
            .entries
            .iter()
            .filter(|(_, e)| {
                e.provider.as_ref() == Some(of) && e.instance.is_none() && e.factory.is_none()
            })
            .map(|(id, _)| *id)
            .collect();
        missing.sort_unstable();
        missing
    }

    /// The plugins whose declared services `consumer` needs.
    pub fn providers_for(&self, consumer: &PluginId) -> Vec<PluginId> {
        let state = self.0.read().expect("services");
        state
            .needs
            .iter()
            .filter(|(by, _)| by == consumer)
            .filter_map(|(_, service)| state.entries.get(service)?.provider.clone())
            .collect()
    }
}
