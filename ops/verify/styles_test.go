package verify

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/postgres"
)

// styled is the services that store an order's style, with a statement that stores an orchestrated order.
func styled() map[string]string {
	return map[string]string{
		"order": `INSERT INTO sagas (order_id, version, status, placed_at, confirm_by, changed_at, saga_style)
			VALUES ($1::text::uuid, 1, 'PENDING', now(), now(), now(), 'orchestrated')`,
		"payment": `INSERT INTO payments (order_id, state, correlation_id, saga_style, created_at, updated_at)
			VALUES ($1, 'NONE', '', 'orchestrated', now(), now())`,
		"inventory": `INSERT INTO reservations (order_id, state, reservation_id, saga_style, updated_at)
			VALUES ($1, '', gen_random_uuid(), 'orchestrated', now())`,
		"shipping": `INSERT INTO shipments (order_id, state, correlation_id, saga_style, created_at, updated_at)
			VALUES ($1, '', '', 'orchestrated', now(), now())`,
		projector: `INSERT INTO orders (order_id, saga_style, created_at, updated_at) VALUES ($1, 'orchestrated', now(), now()), ('not-created', NULL, NULL, now())`,
	}
}

// TestStoredStylesAreRead reads them from the services' own tables.
func TestStoredStylesAreRead(t *testing.T) {
	t.Parallel()
	const id = "01936f2e-7a10-7cc3-9d5e-0242ac120002"
	conns := map[string]*pgx.Conn{}
	var want []StoredStyle
	for service, sql := range styled() {
		conns[service] = connect(t, eventstore.Component(), postgres.Component{Name: service, FS: os.DirFS("../../services/" + service + "/migrations")})
		if _, err := conns[service].Exec(t.Context(), sql, id); err != nil {
			t.Fatalf("%s: %v", service, err)
		}
		want = append(want, StoredStyle{service, id, event.Orchestrated})
	}
	compareStyles(t, conns, want)
}

// TestStylesOfTheReleaseBefore: its tables have no column for a style.
func TestStylesOfTheReleaseBefore(t *testing.T) {
	t.Parallel()
	c, conns := connect(t), map[string]*pgx.Conn{}
	for _, table := range []string{"sagas", "payments", "reservations", "shipments", "orders"} {
		if _, err := c.Exec(t.Context(), `CREATE TABLE `+table+` AS SELECT 'o-1' AS order_id, now() AS created_at`); err != nil {
			t.Fatal(err)
		}
	}
	var want []StoredStyle
	for service := range styled() {
		conns[service] = c
		want = append(want, StoredStyle{service, "o-1", ""})
	}
	compareStyles(t, conns, want)
}

func compareStyles(t *testing.T, conns map[string]*pgx.Conn, want []StoredStyle) {
	t.Helper()
	got, err := storedStyles(t.Context(), conns)
	if err != nil {
		t.Fatal(err)
	}
	byService := func(a, b StoredStyle) int { return strings.Compare(a.Service, b.Service) }
	slices.SortFunc(got, byService)
	slices.SortFunc(want, byService)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("styles (-want +got):\n%s", diff)
	}
}
