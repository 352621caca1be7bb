-- A kind of mail has a new name.
UPDATE mails SET kind = 'access_token_created' WHERE kind = 'token_made';
