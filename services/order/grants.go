package order

import "eventshop.example/pkg/postgres"

// grants returns what the service does with its own tables. What is not here, it cannot do
// where it runs as a role of its own.
func grants() []postgres.Grant {
	return []postgres.Grant{
		{Table: "saga_deadlines", App: "SELECT, INSERT, UPDATE (due_at), DELETE"}, // UPDATE to lock the row
		{Table: "sagas", App: "SELECT, INSERT, UPDATE, DELETE"},
	}
}
