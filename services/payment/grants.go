package payment

import "eventshop.example/pkg/postgres"

// grants returns what the service does with its own tables. What is not here, it cannot do
// where it runs as a role of its own.
func grants() []postgres.Grant {
	return []postgres.Grant{
		{Table: "payments", App: "SELECT, INSERT, UPDATE"},
		{Table: "payment_history", App: "SELECT, INSERT"},
	}
}
