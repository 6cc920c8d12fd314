package projection

import "eventshop.example/pkg/postgres"

// grants returns the privileges that the service needs on its own tables. Where the service runs as
// its own database role, it has no other privileges on them.
func grants() []postgres.Grant {
	return []postgres.Grant{
		{Table: "orders", App: "SELECT, INSERT, UPDATE"},
		{Table: "order_items", App: "SELECT, INSERT"},
		{Table: "timeline", App: "SELECT, INSERT"},
		{Table: "revenue_days", App: "SELECT, INSERT, UPDATE, DELETE"}, // emptied when its version is dropped,
	}
}
