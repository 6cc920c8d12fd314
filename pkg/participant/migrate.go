package participant

import (
	"context"
	"fmt"
	"io"
	"strings"

	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/service"
)

// migration is the job `migrate` of a service's program. It brings the service's database up to
// date with the rights of the migrator's role. The service itself then runs as a role that cannot
// change tables.
type migration struct {
	database postgres.Config // of the migrator's role
	roles    postgres.Roles
}

// settings declares the variables of the environment.
func (m *migration) settings() []service.Setting {
	return append(database(&m.database.URL, &m.database.PasswordFile), m.roleSettings()...)
}

// roleSettings declares the variables that the job reads and the service does not.
func (m *migration) roleSettings() []service.Setting {
	return []service.Setting{
		service.Text("MIGRATE_OWNER_ROLE", &m.roles.Owner, "the job's own role", "of the job `migrate`: owns the database and its tables"),
		service.Text("MIGRATE_APP_ROLE", &m.roles.App, "none, and nothing is granted", "of the job `migrate`: the role that the service runs as"),
		service.Text("MIGRATE_CDC_ROLE", &m.roles.CDC, "none", "of the job `migrate`: the role that change data capture connects as"),
	}
}

// migrate returns the command that migrates the components, grants, reports both, and ends; see
// [postgres.Job].
func migrate(comps []postgres.Component) service.Command {
	return service.Command{Name: "migrate", Run: func(ctx context.Context, env *service.Env, out io.Writer) error {
		var m migration
		env.Read(m.settings())
		if err := env.Err(); err != nil {
			return err
		}
		if err := postgres.Job(ctx, m.database, m.roles, comps...); err != nil {
			return err
		}
		var names []string
		for _, c := range postgres.WithPartitions(comps) {
			names = append(names, c.Name)
		}
		fmt.Fprintf(out, "up to date: %s\n", strings.Join(names, ", "))
		for _, role := range []string{m.roles.App, m.roles.CDC} {
			if role != "" {
				fmt.Fprintf(out, "role %s: has its grants and no others\n", role)
			}
		}
		return nil
	}}
}
