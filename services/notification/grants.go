package notification

import "eventshop.example/pkg/postgres"

// grants returns the privileges that the service needs on its own tables. Where the service runs as
// its own database role, it has no other privileges on them.
func grants() []postgres.Grant {
	return []postgres.Grant{
		{Table: "mails", App: "SELECT, INSERT, UPDATE"},
		{Table: "mailing", App: "SELECT"},
	}
}
