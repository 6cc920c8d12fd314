package verify

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/ops/eventshop"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

// oneRegistry uses a codec's registry for all services.
func oneRegistry(codec *schema.Codec) *decoders {
	d := &decoders{of: map[string]*decoder{}}
	for _, group := range groups() {
		d.of[group] = &decoder{address: "http://test", codec: codec}
	}
	return d
}

// written is a cluster with events of two services, as records and as outbox rows, and with
// undecodable foreign records.
type written struct {
	brokers  []string
	outbox   []OutboxRow
	registry *schematest.Registry // that the events were written with
	count    map[string]int       // by service
}

func write(t *testing.T) *written {
	t.Helper()
	topics := []event.Topic{{Name: events.TopicOrderEvents, Partitions: 1}, {Name: events.TopicPaymentEvents, Partitions: 1}}
	w := &written{brokers: kafkatest.Start(t, topics...), registry: schematest.Start(t), count: map[string]int{}}
	codec := w.registry.Codec(events.Catalogue())
	if err := codec.Register(t.Context(), events.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	for _, e := range []event.Event{
		events.OrderCreated{OrderID: "o-1", OccurredAt: began}, events.PaymentCompleted{OrderID: "o-1", Amount: 1, Currency: "GBP", OccurredAt: began},
		events.OrderConfirmed{OrderID: "o-1", OccurredAt: began}, events.OrderShipped{OrderID: "o-1", OccurredAt: began},
	} {
		typ, _ := events.Catalogue().Lookup(e.EventType())
		value, err := codec.Encode(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		w.put(t, typ, value)
	}
	kafkatest.Produce(t, w.brokers, &kgo.Record{Topic: events.TopicOrderEvents, Key: []byte("\x1b"), Value: []byte("rubbish")})
	return w
}

// put publishes a value of a service, with its outbox row.
func (w *written) put(t *testing.T, typ event.Type, value []byte) {
	t.Helper()
	row := OutboxRow{Service: producer(typ.Topic), Topic: typ.Topic, Type: typ.Name, AggregateID: "o-1", ID: uuid.Must(uuid.NewV7()), Published: true, Content: contentOf(value)}
	w.outbox = append(w.outbox, row)
	w.count[row.Service]++
	w.bear(t, row, value)
}

// bear writes a record to the topic that has the id of a row.
func (w *written) bear(t *testing.T, row OutboxRow, value []byte) {
	t.Helper()
	typ, _ := events.Catalogue().Lookup(row.Type)
	headers := envelopeOf(row.ID, typ.New())
	for i, h := range headers {
		if h.Key == event.HeaderSubject {
			headers[i].Value = []byte("o-1")
		}
	}
	kafkatest.Produce(t, w.brokers, &kgo.Record{Topic: row.Topic, Key: []byte("o-1"), Value: value, Headers: headers})
}

// read reads all facts with the registries of the services.
func (w *written) read(t *testing.T, registries map[string]Registry) Facts {
	t.Helper()
	f := Facts{At: began, Outbox: w.outbox}
	d := newDecoders(registries)
	d.begin()
	if err := readTopics(t.Context(), Sources{Kafka: kafka.Cluster{Brokers: w.brokers}}, d, &f); err != nil {
		t.Fatal(err)
	}
	f.Undecoded = blameless(f)
	return f
}

// forAll returns one registry for all services.
func forAll(url string) map[string]Registry {
	r := Registry{Address: url, Client: schema.NewClient(url)}
	all := map[string]Registry{}
	for _, group := range groups() {
		all[group] = r
	}
	return all
}

// backwards is the catalogue in another order, so that a registry has the same ids for other types.
func backwards() []event.Type {
	types := events.Catalogue().Types()
	slices.Reverse(types)
	return types
}

// registered returns a registry that has the types, with ids from 1.
func registered(t *testing.T, types ...event.Type) *schematest.Registry {
	t.Helper()
	r := schematest.Start(t)
	if err := r.Codec(events.Catalogue()).Register(t.Context(), types...); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestWrongRegistriesAreNoBreach: if a registry does not have a schema, or has another schema under
// its id, the error names the registry that was asked, and no record is blamed.
func TestWrongRegistriesAreNoBreach(t *testing.T) {
	t.Parallel()
	w := write(t)
	down := schematest.Start(t)
	down.SetDown(true)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }))
	t.Cleanup(page.Close)
	all := w.count["order"] + w.count["payment"]
	for name, c := range map[string]struct {
		url  string
		away bool
		says string
	}{
		"it is empty":                    {schematest.Start(t).URL, false, "Schema not found"},
		"it has other ids":               {registered(t, backwards()[:1]...).URL, false, ""},
		"its ids are of other types":     {registered(t, backwards()...).URL, false, "there, not of eventshop.order.v1.OrderCreated"},
		"it fails":                       {down.URL, true, "does not answer"},
		"it is gone":                     {gone.URL, true, "does not answer"},
		"a page of something else there": {page.URL, true, "does not answer"},
	} {
		f := w.read(t, forAll(c.url))
		if len(f.Undecoded) != all {
			t.Errorf("%s: %d of %d records are named: %v", name, len(f.Undecoded), all, f.Undecoded)
		}
		lacking, ok := errors.AsType[*CannotDecode](Decoded(f))
		if !ok || len(lacking.Registries) != 1 {
			t.Fatalf("%s: %v", name, Decoded(f))
		}
		r := lacking.Registries[0]
		if r.Address != c.url || r.Events != all || r.Away != c.away || len(r.Why) == 0 || !slices.Equal(r.Services, []string{"order", "payment"}) {
			t.Errorf("%s: %+v", name, r)
		}
		if want := "order.events/0/0: OrderCreated with schema id 1: "; !strings.HasPrefix(r.Why[0], want) || !strings.Contains(r.Why[0], c.says) {
			t.Errorf("%s: %q, want %q… and %q", name, r.Why[0], want, c.says)
		}
		for _, u := range f.Undecoded { // there is one of each type
			if !slices.Contains(r.Why, u.String()) && !c.away {
				t.Errorf("%s: %q lacks %s", name, r.Why, u)
			}
		}
		if text := lacking.Error(); !strings.Contains(text, c.url) || !strings.Contains(text, "I4, I6, I7, I10, I12 are not checked") {
			t.Errorf("%s: %s", name, text)
		}
		wantUnchecked(t, name, f)
	}
	f := w.read(t, forAll(w.registry.URL))
	if err := Decoded(f); err != nil {
		t.Errorf("with its own registry: %v", err)
	}
}

// TestWhatIsAlikeIsOneLine: with the place of the first record, and their number.
func TestWhatIsAlikeIsOneLine(t *testing.T) {
	t.Parallel()
	u := func(offset int64, typ string, id int, why string) Undecoded {
		return Undecoded{Place: Place{Topic: events.TopicOrderEvents, Offset: offset}, Type: typ, SchemaID: id, Registry: "http://r", Service: "order", Err: errors.New(why)}
	}
	repaired := u(2, "OrderCreated", 1, "unknown")
	repaired.Group = "payment"
	lacking, _ := errors.AsType[*CannotDecode](Decoded(Facts{Undecoded: []Undecoded{
		u(9, "OrderCreated", 1, "unknown"), u(3, "OrderCreated", 1, "unknown"), u(4, "OrderCreated", 1, "unknown"), repaired,
		u(5, "OrderCreated", 2, "unknown"), u(6, "OrderShipped", 1, "unknown"), u(7, "OrderCreated", 1, "damaged"),
	}}))
	want := []Undecodable{{Address: "http://r", Services: []string{"order"}, Events: 7, Why: []string{
		"order.events/0/2, as repaired in group payment: OrderCreated with schema id 1: unknown",
		"order.events/0/3, and 2 more like it: OrderCreated with schema id 1: unknown",
		"order.events/0/5: OrderCreated with schema id 2: unknown",
		"order.events/0/6: OrderShipped with schema id 1: unknown",
		"order.events/0/7: OrderCreated with schema id 1: damaged",
	}}}
	if diff := cmp.Diff(want, lacking.Registries); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// wantUnchecked expects that checks without decoding run, and the others do not.
func wantUnchecked(t *testing.T, name string, f Facts) {
	t.Helper()
	for _, r := range Check(f) {
		needs := slices.Contains([]string{"I4", "I6", "I7", "I10", "I12"}, r.Invariant)
		if r.NotChecked != needs || needs && (r.OK() || len(r.Breaches) > 0) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestARegistryThatIsAwayIsNotAskedForEachRecord: after some attempts it is not asked again.
func TestARegistryThatIsAwayIsNotAskedForEachRecord(t *testing.T) {
	t.Parallel()
	w := write(t)
	away, empty := schematest.Start(t), schematest.Start(t)
	away.SetDown(true)
	w.read(t, forAll(away.URL))
	if n := away.Requests(); n != askedTimes {
		t.Errorf("asked %d times, want %d", n, askedTimes)
	}
	ids := w.count["order"] + w.count["payment"] // each with its own schema
	typ, _ := events.Catalogue().Lookup("OrderShipped")
	w.put(t, typ, []byte{0, 0, 0, 0, 1}) // has the id of another record
	w.read(t, forAll(empty.URL))
	if n := empty.Requests(); n != ids {
		t.Errorf("an empty registry was asked %d times about %d ids", n, ids)
	}
}

// TestEachServiceHasItsRegistry: a record is decoded with its producer's registry, and only schemas
// missing there are reported.
func TestEachServiceHasItsRegistry(t *testing.T) {
	t.Parallel()
	w := write(t)
	other := registered(t, backwards()...)
	registries := forAll(w.registry.URL)
	registries["payment"] = Registry{Address: other.URL, Client: schema.NewClient(other.URL)}
	lacking, ok := errors.AsType[*CannotDecode](Decoded(w.read(t, registries)))
	if !ok || len(lacking.Registries) != 1 {
		t.Fatalf("%v", lacking)
	}
	r := lacking.Registries[0]
	if r.Address != other.URL || r.Events != w.count["payment"] || !slices.Equal(r.Services, []string{"payment"}) {
		t.Errorf("%+v", r)
	}
	// The readers' registries do not matter: shipping publishes nothing here.
	registries = forAll(w.registry.URL)
	registries["shipping"] = Registry{Address: other.URL, Client: schema.NewClient(other.URL)}
	if err := Decoded(w.read(t, registries)); err != nil {
		t.Error(err)
	}
}

// TestARegistryAdmitsTools: with the services' name and password, which no message contains.
func TestARegistryAdmitsTools(t *testing.T) {
	t.Parallel()
	w := write(t)
	target, err := url.Parse(w.registry.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	guarded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ada" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(guarded.Close)
	with := func(user string) eventshop.Addresses {
		return eventshop.Addresses{Registry: func(service string) (eventshop.Registry, error) {
			if service != "order" && service != "payment" {
				return eventshop.Registry{}, nil
			}
			return eventshop.Registry{URL: strings.Replace(guarded.URL, "//", "//"+user, 1)}, nil
		}}
	}
	src, err := SourcesOf(with("ada:secret@"), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := Decoded(w.read(t, src.Registries)); err != nil {
		t.Error(err)
	}
	if src.Registries["order"].Client != src.Registries["payment"].Client {
		t.Error("one registry has two clients")
	}
	if src, err = SourcesOf(with("ada:guessed@"), ""); err != nil {
		t.Fatal(err)
	}
	f := w.read(t, src.Registries)
	err = Decoded(f)
	if text := fmt.Sprint(err, f.Undecoded); err == nil || strings.Contains(text, "guessed") || !strings.Contains(text, guarded.URL) {
		t.Errorf("not admitted: %s", text)
	}
	// A named registry replaces all others.
	if src, err = SourcesOf(with("ada:guessed@"), w.registry.URL); err != nil {
		t.Fatal(err)
	}
	if err := Decoded(w.read(t, src.Registries)); err != nil {
		t.Errorf("with a registry that was named: %v", err)
	}
}

// TestRubbishIsStillRubbish: the checks judge a record that no outbox has, a record that only has
// an event's id, and a record that every group gave up on.
func TestPoisonIsStillPoison(t *testing.T) {
	t.Parallel()
	w := write(t)
	typ, _ := events.Catalogue().Lookup("OrderCreated")
	poison := []byte{0, 0, 0, 0, 1, 0xff}
	w.bear(t, w.outbox[0], poison)                                                                    // has the id of an event
	w.bear(t, OutboxRow{ID: uuid.Must(uuid.NewV7()), Topic: typ.Topic, Type: "OrderCreated"}, poison) // is in no outbox
	if f := w.read(t, forAll(w.registry.URL)); len(f.Undecoded) != 0 {
		t.Errorf("a stranger's records are named: %v", f.Undecoded)
	}
	w.put(t, typ, poison) // a service's own
	f := w.read(t, forAll(w.registry.URL))
	if len(f.Undecoded) != 1 || f.Undecoded[0].SchemaID != 1 {
		t.Fatalf("a service's own record: %v", f.Undecoded)
	}
	place := f.Undecoded[0].Place
	readers := SubscribersOf(typ.Name, event.Choreographed)
	for i, group := range readers {
		if left := blameless(f); len(left) != 1 {
			t.Errorf("%d of %d groups gave up: %v", i, len(readers), left)
		}
		if i%2 == 0 {
			f.DeadLetters = append(f.DeadLetters, DeadLetter{Group: group, ID: uuid.Must(uuid.NewV7()), Place: place, Status: "open"})
		} else {
			f.GivenUp = append(f.GivenUp, GivenUp{Group: group, Place: place, Decision: "discarded"})
		}
	}
	if left := blameless(f); len(left) != 0 {
		t.Errorf("all groups gave up on it: %v", left)
	}
}

// TestARepairedRecordIsItsGroupsOwn: the service of the group has written it, and reads it.
func TestARepairedRecordIsItsGroupsOwn(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	value, err := s.codec.Encode(t.Context(), events.OrderShipped{OrderID: "o-1", OccurredAt: began})
	if err != nil {
		t.Fatal(err)
	}
	var envelope []event.Header
	for _, h := range envelopeOf(uuid.Must(uuid.NewV7()), events.OrderShipped{OrderID: "o-1"}) {
		envelope = append(envelope, event.Header{Key: h.Key, Value: h.Value})
	}
	for i, status := range []string{"open", "resolved"} {
		s.exec(t, "payment", `INSERT INTO dead_letters (id, consumer_group, topic, record_key, record_partition, record_offset, record_time, payload, headers,
			inbox_id, event_type, status, parks, attempts, first_failure, last_failure, error_class, error_message, error_stack, edited_payload, edited_headers)
			VALUES (gen_random_uuid(), 'payment', 'order.events', 'o-1', 0, $1, now(), $2, '[]', gen_random_uuid(), 'OrderShipped', $3, false, 1, now(), now(), 'x', 'y', '', $2, $4)`,
			i, value, status, envelope)
	}
	own, empty := oneRegistry(s.codec), oneRegistry(schematest.Start(t).Codec(events.Catalogue()))
	mixed := &decoders{of: map[string]*decoder{"order": empty.of["order"], "payment": own.of["payment"]}}
	for name, c := range map[string]struct {
		d    *decoders
		want []int64 // offsets
	}{"its own registry": {mixed, nil}, "another": {empty, []int64{1}}} {
		_, undecoded, err := failures(t.Context(), s.conns, c.d)
		if err != nil {
			t.Fatal(err)
		}
		var at []int64
		for _, u := range blameless(Facts{Undecoded: undecoded}) {
			at = append(at, u.Place.Offset)
			if !strings.Contains(u.String(), "repaired in group payment") {
				t.Errorf("%s", u)
			}
		}
		if diff := cmp.Diff(c.want, at); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
