//! Groups of accounts.

use super::{
    Authority, Error, ListedUser, Mandate, Store,
    authority::{lock_authorized, lock_mandated},
    begin::DURABLE,
    events::{Event, record},
    tx::{Tx, values},
    users::{ListedRow, is_name_taken, select_users},
};
use crate::domain::{
    event::{Details, EventName, Stamp, Subject},
    group_name::GroupName,
};

/// A group in a list. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
#[expect(missing_docs, reason = "the fields are columns of the table")]
pub struct GroupRecord {
    /// A UUID, version 7.
    pub id: String,
    /// The name as it was written.
    pub name: String,
    pub created_at: i64,
    /// How many accounts belong to the group.
    pub members: i64,
}

/// The result of deleting a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeleteGroupOutcome {
    /// The group of this name was deleted.
    Done(String),
    /// It has this many members.
    NotEmpty(i64),
    /// There is no such group.
    Missing,
}

/// The result of changing a group's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameGroupOutcome {
    /// The group has the new name.
    Done,
    /// There is no group of the old name.
    Missing,
    /// Another group has the new name.
    Taken,
}

/// Adds the event of an account that joined or left a group.
async fn record_member(
    tx: &mut Tx<'_>,
    stamp: &Stamp,
    event: EventName,
    (user, group): (&str, String),
) -> Result<(), Error> {
    let details = Details { group: Some(group), ..Details::default() };
    record(tx, stamp, Event::of(event, user).with(details)).await
}

impl Store {
    /// Creates a group. Returns whether its name was free.
    pub async fn add_group(&self, mandate: &Mandate, id: &str, name: &GroupName, stamp: &Stamp) -> Result<bool, Error> {
        let sql = "INSERT INTO groups (id, name, name_key, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let values = values![id, name.as_str(), name.key(), stamp.at];
        self.write(DURABLE, async |tx| {
            lock_mandated(tx, mandate).await?;
            let created = tx.execute(sql, values).await? == 1;
            if created {
                record(tx, stamp, Event::done(EventName::GroupCreate, Subject::Group(id))).await?;
            }
            Ok(created)
        })
        .await
    }

    /// The name of the group with this identifier.
    pub async fn group_name(&self, id: &str) -> Result<Option<String>, Error> {
        let found: Option<(String,)> = self
            .read(async |conn| conn.fetch_optional("SELECT name FROM groups WHERE id = $1", values![id]).await)
            .await?;
        Ok(found.map(|(name,)| name))
    }

    /// All groups, by name.
    pub async fn list_groups(&self) -> Result<Vec<GroupRecord>, Error> {
        let sql = "SELECT id, name, created_at, \
                   (SELECT COUNT(*) FROM group_members WHERE group_id = groups.id) AS members \
                   FROM groups ORDER BY name_key";
        self.read(async |conn| conn.fetch_all(sql, &[]).await).await
    }

    /// Changes a group's name.
    pub async fn rename_group(
        &self,
        mandate: Mandate,
        old: &GroupName,
        new: &GroupName,
        stamp: Stamp,
    ) -> Result<RenameGroupOutcome, Error> {
        let (old, new) = (old.clone(), new.clone());
        let renamed = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                lock_mandated(tx, &mandate).await?;
                let sql = "UPDATE groups SET name = $2, name_key = $3 WHERE name_key = $1 RETURNING id";
                let values = values![old.key(), new.as_str(), new.key()];
                let renamed: Option<String> = tx.fetch_column(sql, values).await?.pop();
                tx.invalidate_all_sessions();
                if let Some(id) = &renamed {
                    record(tx, &stamp, Event::done(EventName::GroupRename, Subject::Group(id))).await?;
                }
                Ok(renamed.is_some())
            })
        });
        match renamed.await {
            Ok(true) => Ok(RenameGroupOutcome::Done),
            Ok(false) => Ok(RenameGroupOutcome::Missing),
            Err(error) if is_name_taken(&error) => Ok(RenameGroupOutcome::Taken),
            Err(error) => Err(error),
        }
    }

    /// Deletes a group. Its members keep their accounts. With members it is only deleted with `force`.
    pub async fn delete_group(
        &self,
        mandate: Mandate,
        name: &GroupName,
        force: bool,
        stamp: Stamp,
    ) -> Result<DeleteGroupOutcome, Error> {
        let name = name.clone();
        let deleted = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                // Accounts are always locked before a group.
                lock_mandated(tx, &mandate).await?;
                let Some((id, name)) = tx.lock_group(name.key()).await? else {
                    return Ok(DeleteGroupOutcome::Missing);
                };
                let sql = "SELECT COUNT(*) FROM group_members WHERE group_id = $1";
                let (members,): (i64,) = tx.fetch_one(sql, values![&id]).await?;
                if members > 0 && !force {
                    return Ok(DeleteGroupOutcome::NotEmpty(members));
                }
                tx.invalidate_all_sessions();
                tx.execute("DELETE FROM groups WHERE id = $1", values![&id]).await?;
                let details = Details { members: Some(members), ..Details::default() };
                record(tx, &stamp, Event::done(EventName::GroupDelete, Subject::Group(&id)).with(details)).await?;
                Ok(DeleteGroupOutcome::Done(name))
            })
        });
        deleted.await
    }

    /// Adds an account to a group. Returns the group's name, or `None` if there is no such group.
    pub async fn join_group(
        &self,
        name: &GroupName,
        authority: Authority,
        stamp: Stamp,
    ) -> Result<Option<String>, Error> {
        let sql = "INSERT INTO group_members (group_id, user_id) \
                   SELECT $1, id FROM users WHERE id = $2 ON CONFLICT DO NOTHING";
        let name = name.clone();
        let joined = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                let user = authority.user();
                // Accounts are always locked before a group.
                lock_authorized(tx, &authority).await?;
                let Some((id, name)) = tx.lock_group(name.key()).await? else { return Ok(None) };
                tx.invalidate_user(user);
                if tx.execute(sql, values![&id, user]).await? == 1 {
                    record_member(tx, &stamp, EventName::GroupJoin, (user, id)).await?;
                }
                Ok(Some(name))
            })
        });
        joined.await
    }

    /// Removes an account from a group. Returns the group's name, or `None` if there is no such group.
    pub async fn leave_group(
        &self,
        name: &GroupName,
        authority: Authority,
        stamp: Stamp,
    ) -> Result<Option<String>, Error> {
        let sql = "DELETE FROM group_members WHERE group_id = $1 AND user_id = $2";
        let name = name.clone();
        let left = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                let user = authority.user();
                lock_authorized(tx, &authority).await?;
                let Some((id, name)) = tx.lock_group(name.key()).await? else { return Ok(None) };
                tx.invalidate_user(user);
                if tx.execute(sql, values![&id, user]).await? == 1 {
                    record_member(tx, &stamp, EventName::GroupLeave, (user, id)).await?;
                }
                Ok(Some(name))
            })
        });
        left.await
    }

    /// Members of a group in the order of their creation, starting after the account `after`. Returns `None` if there is
    /// no such group.
    pub async fn list_members(
        &self,
        name: &GroupName,
        after: &str,
        limit: u32,
    ) -> Result<Option<Vec<ListedUser>>, Error> {
        let sql = select_users!(
            ", last_login_at",
            "JOIN group_members ON user_id = users.id WHERE group_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3"
        );
        self.read(async |conn| {
            let group = conn.fetch_optional("SELECT id FROM groups WHERE name_key = $1", values![name.key()]).await?;
            let Some((id,)): Option<(String,)> = group else { return Ok(None) };
            let rows: Vec<ListedRow> = conn.fetch_all(sql, values![&id, after, limit]).await?;
            Ok(Some(rows.into_iter().map(ListedUser::from).collect()))
        })
        .await
    }
}
