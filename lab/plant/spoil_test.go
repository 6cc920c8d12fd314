package plant_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/lab/plant"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafkatest"
)

// payloads returns the payloads in the table of parcels, by id.
func payloads(t *testing.T, dsn string) (all []string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	rows, err := conn.Query(t.Context(), `SELECT coalesce(convert_from(payload, 'UTF8'), 'NULL') FROM parcels ORDER BY id`)
	if err == nil {
		all, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestOnlySelectedRowsAreSpoilt(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	must(t, dsn, `CREATE TABLE parcels (id int NOT NULL, kind text, payload bytea, PRIMARY KEY (id)) PARTITION BY RANGE (id);
		CREATE TABLE parcels_default PARTITION OF parcels DEFAULT;`)
	remove, err := plant.Spoil(t.Context(), dsn, plant.Fault{Table: "parcels", Column: "kind", Value: "created", Times: 1}, "payload", `it's \x me`)
	if err != nil {
		t.Fatal(err)
	}
	must(t, dsn, `INSERT INTO parcels VALUES (1, 'created', 'somebody else'), (2, 'other', convert_to('it''s \x me', 'UTF8')),
		(3, 'created', NULL), (4, 'created', convert_to('0123456789 it''s \x me', 'UTF8')), (5, 'created', convert_to('again it''s \x me', 'UTF8'))`)
	want := []string{"somebody else", `it's \x me`, "NULL", "0123456789", `again it's \x me`}
	if got := payloads(t, dsn); !slices.Equal(got, want) {
		t.Errorf("payloads %q, want %q", got, want)
	}
	all, err := plant.List(t.Context(), dsn)
	if err != nil || len(all) != 1 || all[0].Spoils != "payload" || all[0].Refused != 1 {
		t.Errorf("listed %+v, %v", all, err)
	}
	if err := remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, dsn, `INSERT INTO parcels VALUES (6, 'created', convert_to('it''s \x me', 'UTF8'))`)
	if got := payloads(t, dsn); got[len(got)-1] != `it's \x me` {
		t.Errorf("spoilt after the fault was removed: %q", got)
	}
}

func TestEveryRowIsSpoiltWithoutANumber(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	must(t, dsn, `CREATE TABLE parcels (id int PRIMARY KEY, payload bytea)`)
	if _, err := plant.Spoil(t.Context(), dsn, plant.Fault{Table: "parcels"}, "payload", ""); err != nil {
		t.Fatal(err)
	}
	must(t, dsn, `INSERT INTO parcels VALUES (1, 'ab'), (2, ''), (3, 'c')`)
	if got, want := payloads(t, dsn), []string{"a", "", ""}; !slices.Equal(got, want) {
		t.Errorf("payloads %q, want %q", got, want)
	}
	if err := plant.Clear(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	must(t, dsn, `INSERT INTO parcels VALUES (4, 'whole')`)
	if got := payloads(t, dsn); got[3] != "whole" {
		t.Errorf("Clear left a fault: %q", got)
	}
}

func TestSpoilSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]plant.Fault{
		"no table": {}, "negative times": {Table: "parcels", Times: -1}, "value without column": {Table: "parcels", Value: "x"},
	} {
		if _, err := plant.Spoil(t.Context(), "postgres://nowhere.invalid", f, "payload", ""); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := plant.Spoil(t.Context(), "postgres://nowhere.invalid", plant.Fault{Table: "parcels"}, "", ""); err == nil {
		t.Error("no column: no error")
	}
}

func TestClearAndRefusedCountAllFaults(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	refuse(t, dsn, plant.Fault{Table: "notes", Column: "kind", Value: "a", Times: 2})
	refuse(t, dsn, plant.Fault{Table: "notes", Column: "kind", Value: "b", Times: 1})
	for _, kind := range []string{"a", "a", "b"} {
		if err := exec(t, dsn, "INSERT INTO notes VALUES (1, '"+kind+"')"); err == nil {
			t.Errorf("a row of kind %s is not refused", kind)
		}
	}
	if n, err := plant.Refused(t.Context(), dsn); n != 3 || err != nil {
		t.Errorf("%d refusals, %v", n, err)
	}
	if err := plant.Clear(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	if all, err := plant.List(t.Context(), dsn); len(all) != 0 || err != nil {
		t.Errorf("Clear left %+v, %v", all, err)
	}
}

func TestPoisonIsOnEveryPartition(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Start(t, event.Topic{Name: "a", Partitions: 2}, event.Topic{Name: "b", Partitions: 3})
	put, err := plant.Poison(t.Context(), brokers, "marker", "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	if put["a"] != 6 || put["b"] != 9 {
		t.Errorf("put %v, want 3 on each partition", put)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cl := kafkatest.NewClient(t, brokers, kgo.ConsumeTopics("a", "b"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	kinds, read := map[string]int{}, 0
	for read < 15 && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			read++
			kind := fmt.Sprintf("%s/%d: key %t, marked %t, %d headers", r.Topic, r.Partition, r.Key != nil, bytes.Contains(r.Value, []byte("marker")), len(r.Headers))
			if kinds[kind]++; kinds[kind] > 1 {
				t.Errorf("twice: %s", kind)
			}
			if _, err := event.ParseEnvelope(kafkatest.Headers(r)); err == nil {
				t.Errorf("an event: %s", kind)
			}
		})
	}
	if read != 15 {
		t.Errorf("%d records, want 15: %v", read, kinds)
	}
	if _, err := plant.Poison(t.Context(), brokers, "marker", "no-such-topic"); err == nil {
		t.Error("a topic that does not exist is no error")
	}
}
