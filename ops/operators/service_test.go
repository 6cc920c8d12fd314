package operators_test

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/ops/jsonhttp"
	"eventshop.example/ops/operators"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/operator"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/admin"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema/schematest"
)

// service is the operators' API of a group, on a database of its own.
type service struct {
	t     *testing.T
	pool  *pgxpool.Pool
	store *retry.Store
	group operators.Group
}

func startService(t *testing.T) *service {
	t.Helper()
	db := pgtest.NewSeparate(t, outbox.Component(), retry.Component())
	db.Migrate(t)
	s := &service{t: t, pool: db.App(t)}
	codec := schematest.Start(t).Codec(sample.Catalogue())
	out := outbox.New(outbox.Config{Source: "/test", Types: codec.Types(), Encode: codec.Encode, CanEncode: codec.CanEncode})
	s.store = retry.New("doors", out)
	h, err := operator.Handler(operator.Config{
		Store: s.store, Pool: s.pool, Outbox: admin.Admin{Pool: s.pool, Wake: out.Wake}, Codec: codec, Prepared: func() bool { return true },
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	s.group = operators.NewFleet(map[string]string{"doors": server.URL}, "Žofie, ada").Groups[0]
	return s
}

// bury makes records dead letters and returns their ids.
func (s *service) bury(records ...retry.Record) (ids []string) {
	s.t.Helper()
	err := postgres.InTx(s.t.Context(), s.pool, func(tx pgx.Tx) error {
		for i, r := range records {
			r.Offset, r.Time = int64(i), time.Now().UTC().Truncate(time.Microsecond)
			id, err := s.store.Bury(s.t.Context(), tx, retry.Letter{
				Record: r, InboxID: uuid.Must(uuid.NewV7()), EventType: "LockersReserved", Parks: true,
				Failure: retry.Failure{}.Failed(errs.New(errs.Invalid, "of %s", r.Key), nil, time.Now().UTC()),
			})
			if err != nil {
				return err
			}
			ids = append(ids, id.String())
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return ids
}

func record(topic, key string) retry.Record {
	return retry.Record{Topic: topic, Key: []byte(key), Value: []byte("v")}
}

// client returns the client of the group's process.
func (s *service) client() *operators.Client { return s.group.Processes[0].Client }

// TestTheServiceFiltersAndPages: what the client sends is what a service understands.
func TestTheServiceFiltersAndPages(t *testing.T) {
	t.Parallel()
	s := startService(t)
	all := s.bury(record("locker.events", "a,b&c=d+e %"), record("locker.events", "Ž"), record("parcel.notifications", "k"))
	if _, err := s.client().Discard(t.Context(), all[1], "no", false); err != nil {
		t.Fatal(err)
	}
	first, err := s.client().DeadLetter(t.Context(), all[2])
	if err != nil {
		t.Fatal(err)
	}
	zone := time.FixedZone("", 5*3600+1800) // a time zone that a URL has to escape
	for what, c := range map[string]struct {
		filter operators.Filter
		want   []string
	}{
		"open":                  {operators.Filter{}, []string{all[0], all[2]}},
		"any status":            {operators.Filter{Status: operators.AnyStatus}, all},
		"status":                {operators.Filter{Status: operators.Discarded}, all[1:2]},
		"topic":                 {operators.Filter{Topic: "parcel.notifications"}, all[2:]},
		"type":                  {operators.Filter{Type: "ParcelNoted"}, nil},
		"class":                 {operators.Filter{Class: "invalid"}, []string{all[0], all[2]}},
		"a key to escape":       {operators.Filter{Key: "a,b&c=d+e %"}, all[:1]},
		"a key outside ASCII":   {operators.Filter{Key: "Ž", Status: operators.AnyStatus}, all[1:2]},
		"since":                 {operators.Filter{Since: first.CreatedAt.In(zone)}, all[2:]},
		"until":                 {operators.Filter{Until: first.CreatedAt.In(zone)}, all[:1]},
		"everything at a time":  {operators.Filter{Status: operators.Open, Topic: "locker.events", Type: "LockersReserved", Class: "invalid", Key: "a,b&c=d+e %", Until: time.Now().Add(time.Hour)}, all[:1]},
		"nothing at that place": {operators.Filter{Topic: "other"}, nil},
	} {
		letters, more, err := s.group.List(t.Context(), c.filter, 0)
		got := ids(letters)
		if err != nil || more || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, more %v, %v; want %v", what, got, more, err, c.want)
		}
	}
	if letters, more, err := s.group.List(t.Context(), operators.Filter{Status: operators.AnyStatus}, 2); err != nil || !more || !slices.Equal(ids(letters), all[:2]) {
		t.Errorf("at most 2: %v, more %v, %v", ids(letters), more, err)
	}
	page, err := s.client().DeadLetters(t.Context(), operators.Filter{}, all[0], 1)
	if err != nil || page.Next != "" || !slices.Equal(ids(page.DeadLetters), all[2:]) {
		t.Errorf("the page behind the first: %+v, %v", page, err)
	}
}

// TestParkedOfOneAmongThousands: a key is found however many others have been parked longer.
func TestParkedOfOneAmongThousands(t *testing.T) {
	t.Parallel()
	s := startService(t)
	if _, err := s.pool.Exec(t.Context(), `INSERT INTO parked_keys
			(consumer_group, topic, key, head, state, event_type, attempts, not_before, last_error, parked_at)
		SELECT 'doors', 'locker.events', convert_to('other-' || n, 'UTF8'), gen_random_uuid(), 'retrying', 'LockersReserved', 1, now(), 'x',
			now() - interval '1 day' FROM generate_series(1, 10000) n`); err != nil {
		t.Fatal(err)
	}
	heads := s.bury(record("locker.events", "k"), record("parcel.notifications", "k"))
	keys, err := s.group.ParkedOf(t.Context(), "k")
	if err != nil || len(keys) != 2 || keys[0].Head != heads[0] || keys[1].Head != heads[1] || keys[0].KeyText() != "k" || keys[0].State != operators.Dead {
		t.Errorf("%+v, %v", keys, err)
	}
	if keys, err := s.group.ParkedOf(t.Context(), "none"); err != nil || len(keys) != 0 {
		t.Errorf("of another key: %+v, %v", keys, err)
	}
	if keys, err := s.client().Parked(t.Context(), operators.MaxPage); err != nil || len(keys) != operators.MaxPage {
		t.Errorf("all: %d, %v", len(keys), err)
	}
}

// TestTheServiceTakesDecisions sends each change once to a real service.
func TestTheServiceTakesDecisions(t *testing.T) {
	t.Parallel()
	s := startService(t)
	c, all := s.client(), s.bury(record("locker.events", "a"), record("locker.events", "b"))
	if d, err := c.Edit(t.Context(), all[0], operators.Edit{Headers: &[]operators.Header{}, SetHeaders: map[string]string{"x": ""}, Note: "mended"}); err != nil ||
		!d.Edited || d.EditedRecord == nil || len(d.EditedRecord.Headers) != 1 || *d.PayloadBase64 != "dg==" {
		t.Errorf("edit: %+v, %v", d, err)
	}
	if _, err := c.Edit(t.Context(), all[0], operators.Edit{Payload: json.RawMessage(`{}`)}); jsonhttp.StatusOf(err) != 422 {
		t.Errorf("a payload that does not fit: %v", err)
	}
	if o, err := c.Resubmit(t.Context(), all[0], "mended", false); err != nil || !o.Effect || o.RetryID == "" || o.Status != operators.Resubmitted || o.FollowersReleased != nil {
		t.Errorf("resubmit: %+v, %v", o, err)
	}
	if o, err := c.Discard(t.Context(), all[1], "r", true); err != nil || !o.Effect || o.FollowersReleased == nil || *o.FollowersReleased != 0 {
		t.Errorf("discard: %+v, %v", o, err)
	}
	if _, err := c.Discard(t.Context(), all[0], "r", false); jsonhttp.StatusOf(err) != 409 {
		t.Errorf("discard what is resubmitted: %v", err)
	}
	st, err := c.Stats(t.Context())
	if err != nil || st.Group != "doors" || st.Open != 1 || st.Resubmitted != 1 || st.OldestOpen.IsZero() || st.ParkedKeys.Dead != 1 {
		t.Errorf("stats: %+v, %v", st, err)
	}
	d, err := c.DeadLetter(t.Context(), all[0])
	var actions []string
	for _, a := range d.Actions {
		actions = append(actions, a.Actor+" "+string(a.Action))
	}
	if diff := cmp.Diff([]string{"doors dead_lettered", "Žofie, ada edited", "Žofie, ada resubmitted"}, actions); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if k, err := c.Skip(t.Context(), "locker.events", 3, 42, "r"); err != nil || k.Actor != "Žofie, ada" || !k.SkippedAt.IsZero() {
		t.Errorf("skip: %+v, %v", k, err)
	}
	if all, err := c.Skips(t.Context(), 10); err != nil || len(all) != 1 || all[0].Offset != 42 {
		t.Errorf("skips: %+v, %v", all, err)
	}
	if b, err := c.Breakers(t.Context()); err != nil || len(b) != 0 {
		t.Errorf("breakers: %+v, %v", b, err)
	}
}

func TestTheServicesOutbox(t *testing.T) {
	t.Parallel()
	s := startService(t)
	s.bury(record("locker.events", "a")) // its copy for the dead-letter topic is in the outbox
	c := s.client()
	if o, err := c.Outbox(t.Context()); err != nil || o.Unpublished != 1 || len(o.Topics) != 1 || len(o.Partitions) == 0 || o.Refused == nil || !o.OldestKept.IsZero() {
		t.Errorf("%+v, %v", o, err)
	}
	if err := c.Hold(t.Context(), "its disk is gone"); err != nil {
		t.Error(err)
	}
	if o, err := c.Outbox(t.Context()); err != nil || len(o.Holds) != 1 || o.Holds[0].Reason != "Žofie, ada: its disk is gone" || !o.Holds[0].Expires.IsZero() {
		t.Errorf("on hold: %+v, %v", o, err)
	}
	if err := c.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.pool.Exec(t.Context(), `DELETE FROM outbox_queue`); err != nil {
		t.Fatal(err)
	}
	for rows, selection := range map[int64]operators.Selection{
		0: {Since: time.Now().Add(time.Hour)},
		1: {Topics: []string{"locker.events.doors.dlq"}, Until: time.Now().Add(time.Hour), DryRun: true},
	} {
		if got, err := s.group.Republish(t.Context(), selection); err != nil || got != rows {
			t.Errorf("%+v: %d rows, %v", selection, got, err)
		}
	}
	if m, err := c.Relay(t.Context(), 5); err != nil || m.Mode != operators.Polling || m.SlotState != nil || m.Since.IsZero() {
		t.Errorf("relay: %+v, %v", m, err)
	}
	if err := c.SetRelay(t.Context(), operators.Debezium, "none_such"); jsonhttp.StatusOf(err) != 409 {
		t.Errorf("a slot that is not there: %v", err)
	}
	if err := c.SetRelay(t.Context(), operators.Polling, ""); err != nil {
		t.Error(err)
	}
}
