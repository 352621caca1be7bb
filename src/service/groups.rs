//! Groups of accounts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Caller, Error, Service,
    entropy::new_id,
    permit::{Operator, ProvenOperator},
};
use crate::{
    domain::{act::Duty, directory::AccountLine, event::Initiator, group_name::GroupName, time::Timestamp},
    error::{AppError, Field, Problem},
    store::{DeleteGroupOutcome, GroupRecord, ListedUser, Mandate, RenameGroupOutcome},
};

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupLine {
    /// A UUID, version 7.
    #[schema(format = Uuid)]
    pub id: String,
    /// The name as it was written.
    pub name: String,
    /// When it was created, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// How many accounts belong to it.
    #[schema(minimum = 0)]
    pub members: i64,
}

impl Service {
    /// Creates a group and returns its identifier.
    pub(super) async fn add_group(&self, mandate: &Mandate, by: Initiator, name: &GroupName) -> Result<String, Error> {
        let stamp = self.stamp(by);
        let id = new_id(&*self.entropy, stamp.at);
        if !self.store.add_group(mandate, &id, name, &stamp).await? {
            return Err(Error::invalid(Field::Name, Problem::GroupNameTaken));
        }
        tracing::info!(group = name.as_str(), "group created by operator");
        Ok(id)
    }

    pub(super) async fn list_groups(&self) -> Result<Vec<GroupLine>, Error> {
        Ok(self.store.list_groups().await?.into_iter().map(Into::into).collect())
    }

    /// Changes a group's name. Returns `false` if there is no such group.
    pub(super) async fn rename_group(
        &self,
        mandate: Mandate,
        by: Initiator,
        name: &GroupName,
        new: &GroupName,
    ) -> Result<bool, Error> {
        match self.store.rename_group(mandate, name, new, self.stamp(by)).await? {
            RenameGroupOutcome::Done => {}
            RenameGroupOutcome::Missing => return Ok(false),
            RenameGroupOutcome::Taken => return Err(Error::invalid(Field::Name, Problem::GroupNameTaken)),
        }
        tracing::info!(group = new.as_str(), "group renamed by operator");
        Ok(true)
    }

    /// Deletes a group, with `force` even if it has members.
    pub(super) async fn delete_group(
        &self,
        mandate: Mandate,
        by: Initiator,
        name: &GroupName,
        force: bool,
    ) -> Result<DeleteGroupOutcome, Error> {
        let deleted = self.store.delete_group(mandate, name, force, self.stamp(by)).await?;
        if let DeleteGroupOutcome::Done(name) = &deleted {
            tracing::info!(group = name, "group deleted by operator");
        }
        Ok(deleted)
    }

    /// At most `limit` members of a group, starting after an account. Returns `None` if there is no such group.
    pub(super) async fn list_members(
        &self,
        name: &GroupName,
        after: &str,
        limit: u32,
    ) -> Result<Option<Vec<ListedUser>>, Error> {
        Ok(self.store.list_members(name, after, limit).await?)
    }
}

impl Service {
    /// All groups, by name.
    pub async fn groups(&self, _operator: &Operator) -> Result<Vec<GroupLine>, Error> {
        self.list_groups().await
    }

    /// Creates a group and returns its identifier.
    pub async fn create_group(
        &self,
        caller: &Caller,
        operator: &ProvenOperator,
        name: &GroupName,
    ) -> Result<String, Error> {
        let permit = self.permit_duty(caller, operator, Duty::ManageGroups).await?;
        self.add_group(&permit.mandate(), permit.by(), name).await
    }

    /// Changes the name of a group, which `group` identifies by its identifier or its name.
    pub async fn change_group_name(
        &self,
        caller: &Caller,
        operator: &ProvenOperator,
        group: &str,
        new: &GroupName,
    ) -> Result<(), Error> {
        let permit = self.permit_duty(caller, operator, Duty::ManageGroups).await?;
        let name = self.group_named(group).await?;
        let renamed = self.rename_group(permit.mandate(), permit.by(), &name, new).await?;
        if renamed { Ok(()) } else { Err(AppError::NotFound.into()) }
    }

    /// Deletes a group, with `force` even if it has members. `group` is its identifier or its name.
    pub async fn remove_group(
        &self,
        caller: &Caller,
        operator: &ProvenOperator,
        group: &str,
        force: bool,
    ) -> Result<(), Error> {
        let permit = self.permit_duty(caller, operator, Duty::ManageGroups).await?;
        let name = self.group_named(group).await?;
        match self.delete_group(permit.mandate(), permit.by(), &name, force).await? {
            DeleteGroupOutcome::Done(_) => Ok(()),
            DeleteGroupOutcome::NotEmpty(_) => Err(AppError::GroupNotEmpty.into()),
            DeleteGroupOutcome::Missing => Err(AppError::NotFound.into()),
        }
    }

    /// At most `limit` members of a group in the order of their creation, starting after an account. Also returns the
    /// `after` of the next page, if there is one. `group` is the group's identifier or its name.
    pub async fn members(
        &self,
        _operator: &Operator,
        group: &str,
        after: &str,
        limit: u32,
    ) -> Result<(Vec<AccountLine>, Option<String>), Error> {
        let name = self.group_named(group).await?;
        let found = self.list_members(&name, after, limit.saturating_add(1)).await?.ok_or(AppError::NotFound)?;
        let mut accounts: Vec<AccountLine> = found.into_iter().map(Into::into).collect();
        let has_more = accounts.len() > limit as usize;
        accounts.truncate(limit as usize);
        let next = accounts.last().filter(|_| has_more).map(|account| account.id.clone());
        Ok((accounts, next))
    }

    /// The name of a group by its identifier or its name. A text that parses as an identifier is never treated as a name.
    async fn group_named(&self, group: &str) -> Result<GroupName, Error> {
        let name = match Uuid::parse_str(group) {
            Ok(id) => self.store.group_name(&id.to_string()).await?.ok_or(AppError::NotFound)?,
            Err(_) => group.to_owned(),
        };
        Ok(GroupName::parse(&name).map_err(|_| AppError::NotFound)?)
    }
}

/// Parses the name of a group.
pub(super) fn parse(name: &str) -> Result<GroupName, Error> {
    GroupName::parse(name).map_err(|problem| Error::invalid(Field::Name, problem))
}

impl From<GroupRecord> for GroupLine {
    fn from(GroupRecord { id, name, created_at, members }: GroupRecord) -> Self {
        Self { id, name, created_at: Timestamp::from_millis(created_at).to_rfc3339(), members }
    }
}
