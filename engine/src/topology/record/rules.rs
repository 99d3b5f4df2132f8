//! Records of what rules over others: policies, topic permissions, parameters.

use super::{DefinitionError, Reader, Writer};
use crate::table::Value;
use crate::topology::{ApplyTo, GlobalParameter, Policy, TopicPermission};

impl TopicPermission {
    pub(super) fn write(&self, record: &mut Writer) {
        record.text("kind", "topic_permission");
        record.text("vhost", &self.vhost);
        record.text("user", &self.user);
        record.text("exchange", &self.exchange);
        record.text("write", &self.write);
        record.text("read", &self.read);
    }

    pub(super) fn read(record: &Reader) -> Result<Self, DefinitionError> {
        Ok(TopicPermission {
            vhost: record.text("vhost")?,
            user: record.text("user")?,
            exchange: record.text("exchange")?,
            write: record.text("write")?,
            read: record.text("read")?,
        })
    }
}

impl Policy {
    pub(super) fn write(&self, record: &mut Writer) {
        record.text("kind", "policy");
        record.text("vhost", &self.vhost);
        record.text("name", &self.name);
        record.put("operator", Value::Bool(self.operator));
        record.text("pattern", &self.pattern);
        record.text("apply_to", self.apply_to.name());
        record.put("priority", Value::I64(self.priority));
        record.put("definition", Value::Table((*self.definition).clone()));
    }

    pub(super) fn read(record: &Reader) -> Result<Self, DefinitionError> {
        let wrong = |field| DefinitionError::Field { field };
        Ok(Policy {
            vhost: record.text("vhost")?,
            name: record.text("name")?,
            operator: record.flag("operator")?,
            pattern: record.text("pattern")?,
            apply_to: ApplyTo::from_name(&record.text("apply_to")?)
                .ok_or_else(|| wrong("apply_to"))?,
            priority: i64::try_from(record.integer("priority")?).map_err(|_| wrong("priority"))?,
            definition: record.table("definition")?,
        })
    }
}

impl GlobalParameter {
    pub(super) fn write(&self, record: &mut Writer) {
        record.text("kind", "global_parameter");
        record.text("name", &self.name);
        record.text("value", &self.value);
    }

    pub(super) fn read(record: &Reader) -> Result<Self, DefinitionError> {
        Ok(GlobalParameter { name: record.text("name")?, value: record.text("value")? })
    }
}
