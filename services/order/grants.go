package order

import "eventshop.example/pkg/postgres"

// grants returns the privileges that the service needs on its own tables. Where the service runs as
// its own database role, it has no other privileges on them.
func grants() []postgres.Grant {
	return []postgres.Grant{
		{Table: "saga_deadlines", App: "SELECT, INSERT, UPDATE (due_at), DELETE"}, // UPDATE to lock the row
		{Table: "drafts", App: "SELECT, INSERT, UPDATE, DELETE"},
		{Table: "sagas", App: "SELECT, INSERT, UPDATE, DELETE"},
		{Table: "saga_style", App: "SELECT, UPDATE"},
	}
}
