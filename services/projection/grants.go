package projection

import "eventshop.example/pkg/postgres"

// grants returns what the service does with its own tables. What is not here, it cannot do
// where it runs as a role of its own.
func grants() []postgres.Grant {
	return []postgres.Grant{
		{Table: "orders", App: "SELECT, INSERT, UPDATE"},
		{Table: "order_items", App: "SELECT, INSERT"},
		{Table: "timeline", App: "SELECT, INSERT"},
		{Table: "revenue_days", App: "SELECT, INSERT, UPDATE"},
	}
}
