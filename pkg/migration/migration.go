// Package migration is the command "migrate" of the services' programs: a job that brings a
// service's database up to date with the rights of the migrator's role, so that the service
// itself runs with those of one that cannot change tables.
package migration

import (
	"context"
	"fmt"
	"io"

	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/service"
)

// Command migrates the components, grants, says so, and ends; see postgres.Job. It reads
//
//	DATABASE_URL            of the migrator's role
//	DATABASE_PASSWORD_FILE  its password, when the URL has none
//	MIGRATE_OWNER_ROLE      owns database and tables; default the migrator
//	MIGRATE_APP_ROLE        the service runs as it; default none, nothing is granted
//	MIGRATE_CDC_ROLE        change data capture connects as it; default none
func Command(comps []postgres.Component) service.Command {
	return service.Command{Name: "migrate", Run: func(ctx context.Context, env *service.Env, out io.Writer) error {
		cfg := postgres.Config{URL: env.Required("DATABASE_URL"), PasswordFile: env.PasswordFile("DATABASE_PASSWORD_FILE")}
		roles := postgres.Roles{
			Owner: env.String("MIGRATE_OWNER_ROLE", ""),
			App:   env.String("MIGRATE_APP_ROLE", ""),
			CDC:   env.String("MIGRATE_CDC_ROLE", ""),
		}
		if err := env.Err(); err != nil {
			return err
		}
		if err := postgres.Job(ctx, cfg, roles, comps...); err != nil {
			return err
		}
		for _, c := range postgres.WithPartitions(comps) {
			fmt.Fprintf(out, "%s: up to date\n", c.Name)
		}
		for _, role := range []string{roles.App, roles.CDC} {
			if role != "" {
				fmt.Fprintf(out, "role %s: has its grants and no others\n", role)
			}
		}
		return nil
	}}
}
