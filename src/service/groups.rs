//! Groups of accounts.

use serde::{Deserialize, Serialize};

use super::{Error, Service, entropy::new_id};
use crate::{
    domain::{event::Initiator, group_name::GroupName, time::Timestamp},
    error::{Field, Problem},
    store::{DeleteGroupOutcome, GroupRecord, ListedUser, RenameGroupOutcome},
};

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields' names describe them")]
pub struct GroupLine {
    pub id: String,
    pub name: String,
    /// RFC 3339.
    pub created_at: String,
    pub members: i64,
}

impl Service {
    /// Creates a group and returns its name.
    pub(super) async fn add_group(&self, by: Initiator, name: &str) -> Result<String, Error> {
        let (name, stamp) = (parse(name)?, self.stamp(by));
        if !self.store.add_group(&new_id(&*self.entropy, stamp.at), &name, &stamp).await? {
            return Err(taken());
        }
        tracing::info!(group = name.as_str(), "group created by operator");
        Ok(name.as_str().to_owned())
    }

    pub(super) async fn list_groups(&self) -> Result<Vec<GroupLine>, Error> {
        Ok(self.store.list_groups().await?.into_iter().map(Into::into).collect())
    }

    /// Changes a group's name and returns it. Returns `None` if there is no such group.
    pub(super) async fn rename_group(&self, by: Initiator, name: &str, new: &str) -> Result<Option<String>, Error> {
        let new = parse(new)?;
        match self.store.rename_group(&parse(name)?, &new, self.stamp(by)).await? {
            RenameGroupOutcome::Done => {}
            RenameGroupOutcome::Missing => return Ok(None),
            RenameGroupOutcome::Taken => return Err(taken()),
        }
        tracing::info!(group = new.as_str(), "group renamed by operator");
        Ok(Some(new.as_str().to_owned()))
    }

    /// Deletes a group, with `force` even if it has members.
    pub(super) async fn delete_group(
        &self,
        by: Initiator,
        name: &str,
        force: bool,
    ) -> Result<DeleteGroupOutcome, Error> {
        let deleted = self.store.delete_group(&parse(name)?, force, self.stamp(by)).await?;
        if let DeleteGroupOutcome::Done(name) = &deleted {
            tracing::info!(group = name, "group deleted by operator");
        }
        Ok(deleted)
    }

    /// At most `limit` members of a group, starting after an account. Returns `None` if there is no such group.
    pub(super) async fn list_members(
        &self,
        name: &str,
        after: &str,
        limit: u32,
    ) -> Result<Option<Vec<ListedUser>>, Error> {
        Ok(self.store.list_members(&parse(name)?, after, limit).await?)
    }
}

/// Parses the name of a group.
pub(super) fn parse(name: &str) -> Result<GroupName, Error> {
    GroupName::parse(name).map_err(|problem| Error::invalid(Field::Name, problem))
}

fn taken() -> Error {
    Error::invalid(Field::Name, Problem::GroupNameTaken)
}

impl From<GroupRecord> for GroupLine {
    fn from(GroupRecord { id, name, created_at, members }: GroupRecord) -> Self {
        Self { id, name, created_at: Timestamp::from_millis(created_at).to_rfc3339(), members }
    }
}
