package eventstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

func TestMain(m *testing.M) {
	if err := pgtest.SkipExamples(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// parcel is an aggregate: its state follows from its events alone.
type parcel struct {
	Version int64
	Locker  string
	Gone    bool
}

func (p parcel) apply(r eventstore.Record) parcel {
	p.Version = r.Version
	switch r.Type {
	case "ParcelStored":
		_ = json.Unmarshal(r.Data, &p) // the store accepts JSON only
	case "ParcelCollected":
		p.Gone = true
	}
	return p
}

func replay(p parcel, records []eventstore.Record) parcel {
	for _, r := range records {
		p = p.apply(r)
	}
	return p
}

func appendTo(ctx context.Context, pool *pgxpool.Pool, expected int64, event, data string) error {
	return postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		_, err := eventstore.Append(ctx, tx, "p-1", expected, []eventstore.NewRecord{{Type: event, Data: json.RawMessage(data)}})
		return err
	})
}

// A decision is appended with the version that it was made on. Of two decisions on one version only
// the first is stored. The state of any version can be replayed.
func Example() {
	ctx := context.Background()
	pool, drop, err := pgtest.ExampleDB(ctx, eventstore.Component())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer drop()

	fmt.Println(appendTo(ctx, pool, 0, "ParcelStored", `{"locker":"7"}`))
	fmt.Println(appendTo(ctx, pool, 1, "ParcelCollected", `{}`))
	late := appendTo(ctx, pool, 1, "ParcelReturned", `{}`) // decided on version 1, too
	fmt.Println("decide again:", errs.KindOf(late) == errs.Conflict)

	now, err := eventstore.Load(ctx, pool, "p-1", 0)
	fmt.Printf("now: %+v %v\n", replay(parcel{}, now), err)
	then, err := eventstore.LoadUntilVersion(ctx, pool, "p-1", 1)
	fmt.Printf("at version 1: %+v %v\n", replay(parcel{}, then), err)
	// Output:
	// <nil>
	// <nil>
	// decide again: true
	// now: {Version:2 Locker:7 Gone:true} <nil>
	// at version 1: {Version:1 Locker:7 Gone:false} <nil>
}

// A snapshot spares folding a long stream. States uses the nearest one and writes those that are due,
// behind the work.
func ExampleStates() {
	ctx := context.Background()
	pool, drop, err := pgtest.ExampleDB(ctx, eventstore.Component())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer drop()
	folded := 0
	parcels := eventstore.NewStates(eventstore.StatesConfig[parcel]{
		Apply: func(p parcel, r eventstore.Record) (parcel, error) {
			folded++
			return p.apply(r), nil
		},
		Format: 1, Every: 2, Pool: pool,
		Encode: func(p parcel) (json.RawMessage, error) { return json.Marshal(p) },
		Decode: func(s eventstore.Snapshot) (p parcel, err error) { return p, json.Unmarshal(s.State, &p) },
	})
	for version, locker := range []string{"1", "2", "3"} {
		if err := appendTo(ctx, pool, int64(version), "ParcelStored", `{"locker":"`+locker+`"}`); err != nil {
			fmt.Println(err)
			return
		}
	}
	for range 2 {
		folded = 0
		now, err := parcels.Load(ctx, pool, "p-1")
		fmt.Printf("%+v %v, %d events folded\n", now["p-1"].State, err, folded)
		if err := parcels.Flush(ctx); err != nil { // a service calls Run beside its work
			fmt.Println(err)
			return
		}
	}
	// Output:
	// {Version:3 Locker:3 Gone:false} <nil>, 3 events folded
	// {Version:3 Locker:3 Gone:false} <nil>, 1 events folded
}
