package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"eventshop.example/pkg/pgtest"
)

// TestUUIDsTravelAsBytes: ids keep their value in every form in which the kit sends and reads them, and an
// array of them costs no text. It counts allocations, so it runs alone.
func TestUUIDsTravelAsBytes(t *testing.T) {
	pool := pgtest.NewDB(t)
	a, b := uuid.Must(uuid.NewV7()), uuid.New()
	var one, null uuid.UUID
	var pointer, none *uuid.UUID
	var all []uuid.UUID
	var text string
	var own pgtype.UUID
	row := pool.QueryRow(t.Context(), `SELECT $1::uuid, $2::uuid[], $1::uuid::text, $3::uuid, NULL::uuid, NULL::uuid, ($4::text)::uuid, $1::uuid`,
		a, []uuid.UUID{a, b}, &b, b.String())
	var fromText uuid.UUID
	if err := row.Scan(&one, &all, &text, &pointer, &none, &null, &fromText, &own); err != nil {
		t.Fatal(err)
	}
	got := []any{one, all, text, *pointer, none == nil, null, fromText, uuid.UUID(own.Bytes)}
	if diff := cmp.Diff([]any{a, []uuid.UUID{a, b}, a.String(), b, true, uuid.Nil, b, a}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	ids := make([]uuid.UUID, 500)
	encode := func(m *pgtype.Map) float64 {
		buf := make([]byte, 0, 64<<10)
		return testing.AllocsPerRun(10, func() {
			if _, err := m.Encode(pgtype.UUIDArrayOID, pgx.BinaryFormatCode, ids, buf); err != nil {
				t.Fatal(err)
			}
		})
	}
	ours, pgxs := encode(conn.Conn().TypeMap()), encode(pgtype.NewMap())
	if t.Logf("%.0f allocations for an array of 500, %.0f by pgx", ours, pgxs); ours > pgxs/2 {
		t.Errorf("%.0f allocations for an array of 500, %.0f by pgx", ours, pgxs)
	}
}
