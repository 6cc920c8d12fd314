package inventory

import "eventshop.example/pkg/postgres"

// grants returns the privileges that the service needs on its own tables. Where the service runs as
// its own database role, it has no other privileges on them.
func grants() []postgres.Grant {
	return []postgres.Grant{
		{Table: "stock", App: "SELECT, INSERT, UPDATE"},
		{Table: "receipts", App: "SELECT, INSERT"},
		{Table: "reservations", App: "SELECT, INSERT, UPDATE"},
		{Table: "reservation_items", App: "SELECT, INSERT"},
	}
}
