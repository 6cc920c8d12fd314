package plant_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/lab/plant"
)

// admin returns the superuser's URL of the tests' server.
func admin(t *testing.T) string {
	t.Helper()
	srv, err := instance()
	if err != nil {
		t.Fatal(err)
	}
	return srv.URL("postgres")
}

// undo undoes a fault.
func undo(t *testing.T, back func(context.Context) error) {
	t.Helper()
	if err := back(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// session opens a connection that stays open.
func session(t *testing.T, dsn string) (*pgx.Conn, error) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err == nil {
		t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	}
	return conn, err
}

func TestAPrivilegeIsWithheldUntilItIsGivenBack(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	back, err := plant.Withhold(t.Context(), dsn, "INSERT", "notes")
	if err != nil {
		t.Fatal(err)
	}
	wantState(t, exec(t, dsn, "INSERT INTO notes VALUES (1)"), "42501", "permission denied for table notes")
	must(t, dsn, "DELETE FROM notes") // only the revoked privilege is missing
	undo(t, back)
	must(t, dsn, "INSERT INTO notes VALUES (1)")
	undo(t, back)
	if _, err := plant.Withhold(t.Context(), dsn, "INSERT", "nothing"); err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("a table that is not there: %v", err)
	}
}

func TestATableIsHidden(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	must(t, dsn, "INSERT INTO notes VALUES (1)")
	show, err := plant.Hide(t.Context(), dsn, "notes")
	if err != nil {
		t.Fatal(err)
	}
	wantState(t, exec(t, dsn, "INSERT INTO notes VALUES (2)"), "42P01", "notes")
	undo(t, show)
	must(t, dsn, "INSERT INTO notes VALUES (2)")
	if n := count(t, dsn); n != 2 {
		t.Errorf("%d rows are back, want 2", n)
	}
}

func TestATableIsLockedAndOthersAreNot(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	must(t, dsn, "CREATE TABLE others (id int)")
	release, err := plant.Lock(t.Context(), dsn, "notes")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { release(context.WithoutCancel(t.Context())) }) //nolint:errcheck // closed already where the test went well
	for _, sql := range []string{"SELECT count(*) FROM notes", "INSERT INTO notes VALUES (1)"} {
		wantState(t, exec(t, dsn, "SET LOCAL lock_timeout = '50ms'", sql), "55P03", "")
	}
	must(t, dsn, "INSERT INTO others VALUES (1)")
	undo(t, release)
	must(t, dsn, "INSERT INTO notes VALUES (1)")
	if _, err := plant.Lock(t.Context(), dsn, "nothing"); err == nil {
		t.Error("a table that is not there is no error")
	}
}

func TestARoleIsBarred(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	before, err := session(t, dsn)
	if err != nil {
		t.Fatal(err)
	}
	admit, err := plant.Bar(t.Context(), admin(t), strings.ToLower(t.Name()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for before.Ping(ctx) == nil { // its end is requested, and comes soon
	}
	if ctx.Err() != nil {
		t.Error("the session that there was goes on")
	}
	if _, err := session(t, dsn); err == nil || !strings.Contains(err.Error(), "not permitted to log in") {
		t.Errorf("a new session: %v", err)
	}
	undo(t, admit)
	must(t, dsn, "INSERT INTO notes VALUES (1)")
	if _, err := plant.Bar(t.Context(), admin(t), "no_such_role"); err == nil {
		t.Error("a role that is not there is no error")
	}
}

func TestSessionsBegunWhileARoleIsReadOnlyStayReadOnly(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	writable, err := plant.ReadOnly(t.Context(), admin(t), strings.ToLower(t.Name()))
	if err != nil {
		t.Fatal(err)
	}
	wantState(t, exec(t, dsn, "INSERT INTO notes VALUES (1)"), "25006", "")
	meanwhile, err := session(t, dsn)
	if err != nil {
		t.Fatal(err)
	}
	undo(t, writable)
	_, err = meanwhile.Exec(t.Context(), "INSERT INTO notes VALUES (1)")
	wantState(t, err, "25006", "")
	must(t, dsn, "INSERT INTO notes VALUES (1)")
}
