package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/lab/plant"
	"eventshop.example/ops/eventshop"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/schema"
)

// patience bounds how long a test with foreign records waits for the records behind them. Each
// batch of foreign records may cost a grace period of the schema registry.
const patience = 5 * time.Minute

// TestAnyRecordOnAnyTopic writes records of any kind, key, headers, value, timestamp and place to
// the topics of a shop with orders. First it writes records that are no events, or copies of
// events: every order still ends, and after the dead letters are discarded every invariant holds.
// Then it writes forged events that consumers cannot recognise. For these it requires only that
// every service stays alive and that orders placed later end.
//
// EVENTSHOP_RECORDS sets their number (a sixth more are forged events), EVENTSHOP_SEED their seed.
func TestAnyRecordOnAnyTopic(t *testing.T) {
	if testing.Short() {
		t.Skip("the long run is left out with -short")
	}
	t.Parallel() // with other tests that have their own stack and mostly wait
	total, seed := 400, uint64(1)
	if n, err := strconv.Atoi(os.Getenv("EVENTSHOP_RECORDS")); err == nil {
		total = n
	}
	if n, err := strconv.ParseUint(os.Getenv("EVENTSHOP_SEED"), 10, 64); err == nil {
		seed = n
	}
	s := own(t) // forged events stay on the topics
	a := &anyRecord{stack: s, t: t, sku: s.stock(t, "ANY-1", 10_000), adm: s.admin(t)}
	a.ordersOfAllKinds(2 + total/300)
	a.verify(t)
	a.strangers = a.newStrangers(seed)
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	a.client = cl
	processes := s.processes(t)

	a.put(total, a.strangers.Harmless)
	a.awaitEnds()
	n := a.discard()
	a.place()
	a.awaitEnds()
	t.Logf("%d harmless records, seed %d: %d dead letters, longest wait of an order %s", total, seed, n, a.longest.Round(time.Millisecond))
	a.verify(t)
	if now := s.processes(t); !slices.Equal(now, processes) {
		t.Errorf("processes before %v, now %v", processes, now)
	}

	a.longest = 0
	a.put(total/6, a.strangers.Lie)
	a.awaitEnds()
	n = a.discard()
	a.place()
	a.awaitEnds()
	t.Logf("%d lies: %d dead letters, longest wait of an order %s", total/6, n, a.longest.Round(time.Millisecond))
	if now := s.processes(t); !slices.Equal(now, processes) {
		t.Errorf("processes before the lies %v, now %v", processes, now)
	}
}

// anyRecord is a shop that receives arbitrary records.
type anyRecord struct {
	*stack
	t         *testing.T
	sku       string
	adm       *kadm.Client
	strangers *plant.Strangers
	client    *kgo.Client
	open      map[string]time.Time // orders that have not ended, by when they were placed
	longest   time.Duration        // from an order to its end
}

// ordersOfAllKinds places orders whose sagas succeed and fail, for their events. It discards the
// dead letters that park their keys one after the other, so that more records meet more keys.
func (a *anyRecord) ordersOfAllKinds(ofEach int) {
	t := a.t
	a.fault(t, "carrier", `{"match":{"customerId":"any-waits"},"dispatchAfterMs":3600000}`)
	a.fault(t, "carrier", `{"match":{"customerId":"any-remote","operation":"schedule"},"refuse":"address_not_served"}`)
	a.fault(t, "gateway", `{"match":{"customerId":"any-poor"},"decline":"insufficient_funds"}`)
	var orders, waits []string
	for range ofEach {
		waits = append(waits, a.stack.place(t, "any-waits", a.sku, 1))
		orders = append(orders, a.stack.place(t, "any-remote", a.sku, 1), a.stack.place(t, "any-poor", a.sku, 1),
			a.stack.place(t, "any", "ANY-NONE", 1), a.stack.place(t, "any", a.sku, 1), a.stack.place(t, "any", a.sku, 1))
	}
	for _, id := range waits {
		a.awaitStatus(t, id, "CONFIRMED")
		if answer := post(t, a.URL["order"]+"/orders/"+id+"/cancel", `{}`); answer.status != http.StatusAccepted {
			t.Fatalf("cancel: %d %s", answer.status, answer.body)
		}
	}
	a.endOf(t, append(orders, waits...))
}

// newStrangers returns a generator of foreign records from all records on the topics, and from one
// event of each type that is on no topic.
func (a *anyRecord) newStrangers(seed uint64) *plant.Strangers {
	t := a.t
	var published, invented []*kgo.Record
	var elsewhere []string
	seen := map[string]bool{}
	for _, topic := range events.Topics() {
		published = append(published, kafkatest.ReadAll(t, a.Kafka, topic.Name)...)
	}
	for _, r := range published {
		seen[kafkatest.Envelope(t, r).Type] = true
	}
	codec := schema.NewCodec(schema.NewClient(a.URL["registry"]), events.Catalogue())
	if err := codec.Register(t.Context(), events.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	for _, typ := range events.Catalogue().Types() {
		if seen[typ.Name] {
			continue
		}
		event := typ.New()
		reflect.ValueOf(event).Elem().FieldByName("OrderID").SetString(string(published[0].Key))
		r := kafkatest.Record(t, codec, event)
		r.Timestamp = time.Now()
		invented = append(invented, r)
	}
	known, err := a.adm.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range known.Names() {
		if strings.HasSuffix(name, ".dlq") || strings.HasSuffix(name, ".retry") {
			elsewhere = append(elsewhere, name)
		}
	}
	t.Logf("%d records of %d types, and %d types more; %d topics without events", len(published), len(seen), len(invented), len(elsewhere))
	return plant.NewStrangers(seed, codec.DecodeAtOnce, published, invented, elsewhere...)
}

// put writes foreign records to the topics, and places an order after every hundred of them.
func (a *anyRecord) put(total int, next func(context.Context) (*kgo.Record, error)) {
	t := a.t
	const batch = 100
	for left := total; left > 0; left -= batch {
		var records []*kgo.Record
		for range min(batch, left) {
			r, err := next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, r)
		}
		for _, result := range a.client.ProduceSync(t.Context(), records...) {
			if err := result.Err; err != nil && !refusedForItself(err) {
				t.Fatalf("a record on %s: %v", result.Record.Topic, err)
			}
		}
		a.place()
		a.look()
	}
}

// refusedForItself reports whether the broker refused the record itself: a time that is far away,
// no key on a compacted topic, too many bytes. Records sent together with such a record are refused
// too.
func refusedForItself(err error) bool {
	return errors.Is(err, kerr.InvalidTimestamp) || errors.Is(err, kerr.InvalidRecord) || errors.Is(err, kerr.MessageTooLarge)
}

// place places an order whose end the test awaits.
func (a *anyRecord) place() {
	if a.open == nil {
		a.open = map[string]time.Time{}
	}
	began := time.Now()
	a.open[a.stack.place(a.t, "any", a.sku, 1)] = began
}

// look updates which orders have ended.
func (a *anyRecord) look() {
	for id, began := range a.open {
		if status := get(a.t, a.URL["order"]+"/orders/"+id).field(a.t, "status"); status == "DELIVERED" || status == "CANCELLED" {
			a.longest = max(a.longest, time.Since(began))
			delete(a.open, id)
		}
	}
}

func (a *anyRecord) awaitEnds() {
	a.t.Helper()
	eventuallySay(a.t, patience, func() string { return fmt.Sprintf("all orders have ended, but %v", a.open) }, func() bool {
		a.look()
		return len(a.open) == 0
	})
}

// discard waits until all groups have read the topics, and discards all dead letters, including
// those of records that waited behind others. It returns their number.
func (a *anyRecord) discard() (total int) {
	a.t.Helper()
	waits := ""
	eventuallySay(a.t, patience, func() string { return "nothing waits in any group, but " + waits }, func() bool {
		waits = ""
		lags, err := a.adm.Lag(a.t.Context(), eventshop.Services()...)
		if err != nil {
			waits = err.Error()
			return false
		}
		for group, l := range lags {
			if l.Error() != nil || l.Lag.Total() > 0 {
				waits += fmt.Sprintf("%s reads %d records (%v); ", group, l.Lag.Total(), l.Error())
			}
		}
		if waits != "" {
			return false
		}
		open := 0
		for _, service := range eventshop.Services() {
			var letters, keys int
			a.query(a.t, service, `SELECT (SELECT count(*) FROM dead_letters WHERE status = 'open'), (SELECT count(*) FROM parked_keys)`, &letters, &keys)
			if open += letters; letters+keys > 0 {
				waits += fmt.Sprintf("%s has %d open dead letters and %d parked keys; ", service, letters, keys)
			}
		}
		if open > 0 {
			a.must(a.t, "dlq", "discard", "--all", "--yes", "--reason", "strangers' records")
			total += open
		}
		return waits == ""
	})
	return total
}

// processes returns the running processes with their ids.
func (s *stack) processes(t testing.TB) (all []string) {
	t.Helper()
	for line := range strings.Lines(s.must(t, "status")) {
		f := strings.Fields(line)
		if len(f) < 5 || f[0] == "PROCESS" {
			if len(all) > 0 {
				break // the output after the table
			}
			continue
		}
		all = append(all, f[0]+" "+f[1])
	}
	return all
}
