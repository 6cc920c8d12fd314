package orchestrator

import "eventshop.example/pkg/postgres"

// grants returns the privileges that the service needs on its own tables. Where the service runs as
// its own database role, it has no other privileges on them. So it cannot change its log.
func grants() []postgres.Grant {
	return []postgres.Grant{
		{Table: "sagas", App: "SELECT, INSERT, UPDATE"},
		{Table: "saga_log", App: "SELECT, INSERT"},
	}
}
