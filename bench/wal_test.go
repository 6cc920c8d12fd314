package main

import (
	"fmt"
	"testing"

	"eventshop.example/ops/eventshop"
)

// The script writes every row of every table once more, into the tables as they are.
func TestTheScriptWritesTheSameRows(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	const n = 250
	for _, service := range eventshop.Services() {
		if _, err := s.Create(t.Context(), service); err != nil {
			t.Fatal(err)
		}
		other := connect(t, s, service)
		execute(t, other, `CREATE TABLE rest (id int)`)
		if err := other.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	conn := connect(t, s, "order")
	execute(t, conn, orderTables()...)
	execute(t, conn,
		fmt.Sprintf(`INSERT INTO events (id, version, data) SELECT n::text, v, '{}' FROM generate_series(1, %d) n, generate_series(1, 4) v ORDER BY n, v`, n),
		fmt.Sprintf(`INSERT INTO outbox (id, tags) SELECT gen_random_uuid(), '{x}' FROM generate_series(1, %d)`, 3*n),
		`UPDATE events SET data = '{"changed": true}'`)
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	wal, err := writeAgain(t.Context(), s, n)
	if err != nil {
		t.Fatal(err)
	}
	// 1,750 rows with their indexes take some 100 to 300 bytes each.
	if perRow := float64(wal) / (7 * n); perRow < 100 || perRow > 600 {
		t.Errorf("%.0f bytes of log per row", perRow)
	}
	for _, query := range []string{
		`SELECT count(*), count(DISTINCT md5(id || version || data::text)) FROM events WHERE data = '{"changed": true}'`,
		`SELECT count(*), count(DISTINCT (id, seq)) FROM outbox`,
	} {
		var got, again [2]int
		for name, into := range map[string]*[2]int{"order": &got, "script_order": &again} {
			if err := connect(t, s, name).QueryRow(t.Context(), query).Scan(&into[0], &into[1]); err != nil {
				t.Fatal(err)
			}
		}
		if got != again || got[0] != got[1] || got[0] == 0 {
			t.Errorf("%s: %v in the shop's database and %v in the script's", query, got, again)
		}
	}
}
