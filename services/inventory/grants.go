package inventory

import "eventshop.example/pkg/postgres"

// grants returns what the service does with its own tables. What is not here, it cannot do
// where it runs as a role of its own.
func grants() []postgres.Grant {
	return []postgres.Grant{
		{Table: "stock", App: "SELECT, INSERT, UPDATE"},
		{Table: "receipts", App: "SELECT, INSERT"},
		{Table: "reservations", App: "SELECT, INSERT, UPDATE"},
		{Table: "reservation_items", App: "SELECT, INSERT"},
	}
}
