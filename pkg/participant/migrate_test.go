package participant

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"

	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/service"
)

// TestMigrate runs the job with the environment of a container, twice, and as a role that is no
// member of the owner.
func TestMigrate(t *testing.T) {
	t.Parallel()
	notes := postgres.Component{Name: "notes", FS: fstest.MapFS{"1_notes.sql": {Data: []byte("-- +goose Up\nCREATE TABLE notes (text text);\n")}},
		Grants: []postgres.Grant{{Table: "notes", App: "SELECT, INSERT"}}}
	db := pgtest.NewSeparate(t, notes)
	vars := map[string]string{"DATABASE_URL": db.MigratorURL, "MIGRATE_OWNER_ROLE": db.Roles.Owner, "MIGRATE_APP_ROLE": db.Roles.App}
	env := func() *service.Env {
		return service.NewEnv(func(name string) (string, bool) { v, ok := vars[name]; return v, ok })
	}
	command := migrate([]postgres.Component{notes})
	for range 2 {
		var out bytes.Buffer
		if err := command.Run(t.Context(), env(), &out); err != nil {
			t.Fatal(err)
		}
		if want := "up to date: notes\nrole " + db.Roles.App + ": has its grants and no others\n"; out.String() != want {
			t.Errorf("it says %q, want %q", out.String(), want)
		}
	}
	db.Check(t)
	if _, err := db.App(t).Exec(t.Context(), "INSERT INTO notes VALUES ('x')"); err != nil {
		t.Error(err)
	}

	vars["DATABASE_URL"] = db.AppURL
	if err := command.Run(t.Context(), env(), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "permission denied to set role") {
		t.Errorf("as the service's role: %v", err)
	}
	clear(vars)
	e := env()
	if err := command.Run(t.Context(), e, &bytes.Buffer{}); err == nil || e.Err() == nil || !strings.Contains(e.Err().Error(), "DATABASE_URL is required") {
		t.Errorf("without an environment: %v", err)
	}
}
