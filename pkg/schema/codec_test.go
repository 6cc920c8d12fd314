package schema_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/eventtest"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/schema"
)

var at = time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC)

func parcelAccepted() sample.ParcelAccepted {
	return sample.ParcelAccepted{
		ParcelID:    "o-1",
		Sender:      sample.Sender{ID: "c-1", Name: "Zoë", Email: "zoe@example.com"},
		Address:     sample.Address{Street: "1 Main St", City: "Köln", PostalCode: "50667", Country: "DE"},
		Items:       []sample.Item{{Size: "A", Quantity: 2, Price: 1499}, {Size: "B", Quantity: 1, Price: 1}},
		TotalAmount: 2999,
		Currency:    "EUR",
		CollectBy:   at.Add(5 * time.Minute),
		OccurredAt:  at,
	}
}

func wantKind(t *testing.T, err error, kind errs.Kind, says string) {
	t.Helper()
	if err == nil || errs.KindOf(err) != kind || !strings.Contains(err.Error(), says) {
		t.Errorf("error is %v of kind %v, want kind %v and %q", err, errs.KindOf(err), kind, says)
	}
}

func TestEveryEventOfTheCatalogueRoundTrips(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	producer, consumer := r.codec(), r.codec()
	if err := producer.Register(t.Context(), sample.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	for _, typ := range sample.Catalogue().Types() {
		all := eventtest.Edges(typ)
		if typ.Name == "ParcelAccepted" {
			all["example"] = new(parcelAccepted())
		}
		for name, want := range all {
			b, err := producer.Encode(t.Context(), want)
			if err != nil {
				t.Errorf("%s, %s: %v", typ.Name, name, err)
				continue
			}
			got, err := consumer.Decode(t.Context(), typ, b)
			if err != nil {
				t.Errorf("%s, %s: %v", typ.Name, name, err)
				continue
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", typ.Name, name, diff)
			}
			if got.AggregateKey() != want.AggregateKey() || got.EventType() != typ.Name {
				t.Errorf("%s: key %q, type %q", typ.Name, got.AggregateKey(), got.EventType())
			}
		}
	}
}

func TestWireFormat(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	r.add("another", `"string"`) // so that the event's id is 2
	value, err := r.codec().Encode(t.Context(), sample.ParcelNoted{ParcelID: "o-1", OccurredAt: time.UnixMicro(1)})
	if err != nil {
		t.Fatal(err)
	}
	pointer, err := r.codec().Encode(t.Context(), &sample.ParcelNoted{ParcelID: "o-1", OccurredAt: time.UnixMicro(1)})
	if err != nil {
		t.Fatal(err)
	}
	want := []byte{0, 0, 0, 0, 2, 6, 'o', '-', '1', 2}
	if !cmp.Equal(value, want) || !cmp.Equal(pointer, want) {
		t.Errorf("value % x, pointer % x, want % x", value, pointer, want)
	}
}

func TestEncodeRefusesWhatConsumersWould(t *testing.T) {
	t.Parallel()
	c := newRegistry(t).codec()
	for _, bad := range []event.Event{
		sample.ParcelNoted{ParcelID: "a\x00", OccurredAt: at},
		sample.ParcelNoted{ParcelID: "a\xff", OccurredAt: at},
		sample.ParcelNoted{ParcelID: "a", OccurredAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		_, err := c.Encode(t.Context(), bad)
		wantKind(t, err, errs.Invalid, "encode ParcelNoted")
	}
	_, err := c.Encode(t.Context(), stranger{})
	wantKind(t, err, errs.Hopeless, "neither registered nor in the catalogue")
}

// stranger is an event that is in no catalogue.
type stranger struct{ sample.ParcelNoted }

func (stranger) EventType() string { return "Stranger" }

func TestDecodePoison(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	c := r.codecWith(20 * time.Millisecond)
	good, err := c.Encode(t.Context(), parcelAccepted())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Register(t.Context(), sample.TypeOf[sample.LockersReserved]()); err != nil {
		t.Fatal(err)
	}
	protobuf := r.add("p", "syntax = proto3;")
	noSchema := r.add("n", `{"type":"record","name":"r"}`)
	order, reserved := sample.TypeOf[sample.ParcelAccepted](), sample.TypeOf[sample.LockersReserved]()
	lockers := func(body ...byte) []byte { return append([]byte{0, 0, 0, 0, 2}, body...) }
	long := func(n int64) []byte { return binary.AppendVarint(nil, n) }

	for _, bad := range []struct {
		name  string
		typ   event.Type
		value []byte
		says  string
	}{
		{"nothing", order, nil, "shorter"},
		{"prefix cut short", order, good[:4], "shorter"},
		{"other magic byte", order, append([]byte{1}, good[1:]...), "first byte is 0x1"},
		{"JSON", order, []byte(`{"parcelId":"o-1"}`), "first byte is 0x7b"},
		{"id 0", order, []byte{0, 0, 0, 0, 0, 1}, "no schema id"},
		{"id above int32", order, []byte{0, 0xff, 0, 0, 1, 1}, "no schema id"},
		{"unknown id", order, []byte{0, 0, 0, 1, 0, 1}, "no such schema"},
		{"id of a Protobuf schema", order, []byte{0, 0, 0, 0, byte(protobuf)}, "not Avro"},
		{"id of a broken schema", order, []byte{0, 0, 0, 0, byte(noSchema)}, "parse schema"},
		{"another record", order, lockers(0), "is of lockers.locker.v1.LockersReserved"},
		{"no body", order, good[:5], "parcelId"},
		{"body cut short", order, good[:len(good)-1], "occurredAt"},
		{"trailing byte", order, append(good[:len(good):len(good)], 0), "1 bytes after the value"},
		{"negative length", reserved, lockers(1), "length -1"},
		{"huge length", reserved, lockers(long(math.MaxInt64)...), "length 9223372036854775807"},
		{"integer too long", reserved, lockers(255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1), "too long"},
		{"huge count", reserved, lockers(append([]byte{0, 0}, long(1<<40)...)...), "more than 100000 items"},
		{"smallest count", reserved, lockers(append([]byte{0, 0}, append(long(math.MinInt64), 0)...)...), "more than 100000 items"},
		{"count beyond the data", reserved, lockers(append([]byte{0, 0}, long(99_999)...)...), "item 0"},
		{"dishonest block size", reserved, lockers(0, 0, 1, 8, 0, 2, 0, 2), "block says 4 bytes"},
		{"quantity above int32", reserved, lockers(append([]byte{0, 0, 2, 0}, long(1<<31)...)...), "fit an int"},
		{"NUL in a text", reserved, lockers(2, 0, 0, 0, 2), "NUL"},
		{"invalid UTF-8", reserved, lockers(2, 0xff, 0, 0, 2), "UTF-8"},
		{"time beyond the calendar", reserved, lockers(append([]byte{0, 0, 0}, long(math.MaxInt64)...)...), "years"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			_, err := c.DecodeAtOnce(t.Context(), bad.typ, bad.value)
			wantKind(t, err, errs.Hopeless, bad.says)
			e, err := decideSoon(t, c, bad.typ, bad.value)
			wantKind(t, err, errs.Hopeless, bad.says)
			if e != nil {
				t.Errorf("an error and an event: %v", e)
			}
		})
	}
}

func TestRegistryDown(t *testing.T) {
	t.Parallel()
	for _, down := range []struct {
		name   string
		status int
		html   bool
	}{
		{"refuses connections", 0, false},
		{"internal error", 500, false},
		{"unavailable", 503, true},
		{"too many requests", 429, false},
		{"not allowed", 401, false},
		{"a proxy says not found", 404, true},
		{"another service says not found", 404, false},
	} {
		t.Run(down.name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			warm, cold := r.codec(), r.codec()
			placed := sample.TypeOf[sample.ParcelNoted]()
			b, err := warm.Encode(t.Context(), sample.ParcelNoted{ParcelID: "o-1", OccurredAt: at})
			if err != nil {
				t.Fatal(err)
			}
			if down.status == 0 {
				r.Close()
			}
			r.fail(down.status, down.html)

			_, err = cold.Decode(t.Context(), placed, b)
			wantKind(t, err, errs.Transient, "look up schema id 1")
			_, err = cold.Encode(t.Context(), sample.ParcelNoted{ParcelID: "o-1"})
			wantKind(t, err, errs.Transient, "register schema")
			_, _, err = cold.DecodeJSON(t.Context(), b)
			wantKind(t, err, errs.Transient, "look up schema id 1")

			// Cached schemas continue to work.
			if _, err := warm.Decode(t.Context(), placed, b); err != nil {
				t.Errorf("decode with a cached schema: %v", err)
			}
			if _, err := warm.Encode(t.Context(), sample.ParcelNoted{ParcelID: "o-2", OccurredAt: at}); err != nil {
				t.Errorf("encode a registered type: %v", err)
			}
			if err := warm.Ready(); err != nil {
				t.Errorf("not ready: %v", err)
			}
		})
	}
}

func TestSlowRegistryTimesOut(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	id := r.add("s", `"string"`)
	r.gate = make(chan struct{})
	t.Cleanup(func() { close(r.gate) })
	c := schema.NewClient(r.URL, schema.WithTimeout(20*time.Millisecond))
	_, err := c.Schema(t.Context(), id)
	wantKind(t, err, errs.Transient, fmt.Sprintf("look up schema id %d", id))
}

func TestSimultaneousLookupsAreOneRequest(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	b, err := r.codec().Encode(t.Context(), sample.ParcelNoted{ParcelID: "o-1", OccurredAt: at})
	if err != nil {
		t.Fatal(err)
	}
	before := r.count("GET /schemas/ids/1")
	r.mu.Lock()
	r.gate = make(chan struct{})
	r.mu.Unlock()

	c := r.codec()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 20 {
				if _, err := c.Decode(t.Context(), sample.TypeOf[sample.ParcelNoted](), b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	<-r.arrived
	close(r.gate)
	all.Wait()
	// A lookup that began after the first one ended, before its result was cached, may
	// add a request; 320 lookups must not be many.
	if n := r.count("GET /schemas/ids/1") - before; n < 1 || n > 16 {
		t.Errorf("%d requests for one id", n)
	}
}

func TestCallerMayLeaveWhileOthersWait(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	id := r.add("s", `"string"`)
	r.gate = make(chan struct{})
	c := schema.NewClient(r.URL)
	ctx, cancel := withCancel(t)
	left := make(chan error, 1)
	go func() { _, err := c.Schema(ctx, id); left <- err }()
	<-r.arrived
	cancel()
	err := <-left
	wantKind(t, err, errs.Transient, "context canceled")

	stayed := make(chan error, 1)
	go func() { _, err := c.Schema(t.Context(), id); stayed <- err }()
	close(r.gate)
	if err := <-stayed; err != nil {
		t.Errorf("the other caller got %v", err)
	}
	if _, err := c.Schema(ctx, id); !errors.Is(err, ctx.Err()) {
		t.Errorf("with an ended context: %v", err)
	}
}

func TestDecodeJSON(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	c := r.codec()
	b, err := c.Encode(t.Context(), sample.LockersReserved{
		ParcelID: "o-1", ReservationID: "r-1", Items: []sample.ReservedLocker{{Size: "A", Quantity: 2}}, OccurredAt: at,
	})
	if err != nil {
		t.Fatal(err)
	}
	object, subject, err := c.DecodeJSON(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"items":[{"quantity":2,"size":"A"}],"occurredAt":"2024-02-29T23:59:59.123456Z","parcelId":"o-1","reservationId":"r-1"}`
	if string(object) != want || subject != "lockers.locker.v1.LockersReserved" {
		t.Errorf("%s of %s, want %s", object, subject, want)
	}

	double := r.add("d", `"double"`)
	_, subject, err = c.DecodeJSON(t.Context(), append([]byte{0, 0, 0, 0, byte(double)}, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f))
	wantKind(t, err, errs.Hopeless, "as JSON") // not a number
	if subject != "double" {
		t.Errorf("subject %q", subject)
	}
	_, _, err = c.DecodeJSON(t.Context(), append(b, 0))
	wantKind(t, err, errs.Hopeless, "after the value")
	_, _, err = c.DecodeJSON(t.Context(), []byte("rubbish"))
	wantKind(t, err, errs.Hopeless, "first byte")
}
