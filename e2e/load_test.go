package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	clients "eventshop.example/lab/load"
	"eventshop.example/lab/plant"
	"eventshop.example/local/broker"
)

// plenty is a stock that no load uses up, however long a slow machine takes between two steps of a
// test: an order that fails for want of stock is cancelled, which is not what these tests are about.
const plenty = 100_000

// load places orders in the background, see package load. startLoad creates it, stop ends it.
type load struct {
	*clients.Load
	t testing.TB
}

// startLoad begins to place orders, perSecond of them, for the customers in turn.
func (s *stack) startLoad(t testing.TB, sku string, perSecond int, customers ...string) *load {
	t.Helper()
	l := &load{clients.Start(t.Context(), clients.Config{SKU: sku, PerSecond: perSecond, Customers: customers, Orders: []string{s.URL["order"]}}), t}
	t.Cleanup(func() { l.Stop() }) //nolint:errcheck // after a failure: what it says is not the news
	return l
}

// spread sets the addresses of the order service's replicas.
func (l *load) spread(addrs ...string) { l.Spread(addrs...) }

// insistOnFirst sets whether a first answer other than 201 is an error from now on.
func (l *load) insistOnFirst(strict bool) { l.InsistOnFirst(strict) }

func (l *load) placed() int { return l.Placed() }

// await waits until n more orders are placed.
func (l *load) await(t testing.TB, n int) {
	t.Helper()
	n += l.placed()
	eventually(t, 90*time.Second, fmt.Sprintf("%d orders are placed", n), func() bool { return l.placed() >= n })
}

// stop ends the load, waits for the clients' answers and returns the promised orders.
func (l *load) stop() []string {
	l.t.Helper()
	promised, err := l.Stop()
	if err != nil {
		l.t.Error(err)
	}
	return promised
}

// endOf waits until the orders have ended, and counts their final statuses.
func (s *stack) endOf(t testing.TB, orders []string) map[string]int {
	t.Helper()
	ended, seen := map[string]int{}, map[string]bool{}
	for _, id := range orders {
		if seen[id] {
			t.Errorf("order %s was promised to two clients", id)
		}
		seen[id] = true
		ended[s.awaitStatus(t, id, "DELIVERED", "CANCELLED")]++
	}
	t.Logf("%d orders ended: %v", len(orders), ended)
	return ended
}

// stock adds pieces of a SKU that is unique to the run, and returns its name.
func (s *stack) stock(t testing.TB, name string, pieces int) (sku string) {
	t.Helper()
	sku = fmt.Sprintf("%s-%d", name, time.Now().UnixNano())
	s.receive(t, sku, pieces)
	return sku
}

// wantStock checks the remaining stock of a SKU at the end.
func (s *stack) wantStock(t testing.TB, sku string, received, shipped int) {
	t.Helper()
	number := func(a answer, field string) int {
		n, err := strconv.Atoi(a.field(t, field))
		if err != nil {
			t.Fatalf("stock of %s: %s: %v", sku, a.body, err)
		}
		return n
	}
	var last answer
	say := func() string {
		return fmt.Sprintf("%d of %d pieces of %s are shipped and none is held: %s", shipped, received, sku, last.body)
	}
	eventuallySay(t, 30*time.Second, say, func() bool {
		last = get(t, s.URL["inventory"]+"/stock/"+sku)
		return number(last, "shipped") == shipped && number(last, "reserved") == 0 && number(last, "available") == received-shipped
	})
}

// unready returns why a process is not ready, or "" if it is. A process that does not answer is not
// ready for that reason.
func (s *stack) unready(t testing.TB, name string) string {
	t.Helper()
	a, err := send(t.Context(), http.MethodGet, s.URL[name]+"/readyz", "")
	if err != nil {
		return err.Error()
	}
	var report struct{ Checks map[string]string }
	if err := json.Unmarshal(a.body, &report); err != nil {
		t.Fatalf("%s: /readyz says %d %s", name, a.status, a.body)
	}
	var why []string
	for check, reason := range report.Checks {
		if reason != "ok" {
			why = append(why, check+": "+reason)
		}
	}
	if (a.status == http.StatusOK) != (len(why) == 0) {
		t.Errorf("%s: /readyz says %d and %s", name, a.status, a.body)
	}
	slices.Sort(why)
	return strings.Join(why, "; ")
}

// awaitUnready waits until every named process is not ready, with a reason that contains the words.
func (s *stack) awaitUnready(t testing.TB, words string, names ...string) {
	t.Helper()
	for _, name := range names {
		why := ""
		say := func() string { return fmt.Sprintf("%s is not ready because of %q but of %q", name, words, why) }
		eventuallySay(t, 20*time.Second, say, func() bool {
			why = s.unready(t, name)
			return strings.Contains(why, words)
		})
		t.Logf("%s: %s", name, why)
	}
}

// awaitReady waits until every named process is ready.
func (s *stack) awaitReady(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		why := ""
		eventuallySay(t, time.Minute, func() string { return name + " is ready: " + why }, func() bool {
			why = s.unready(t, name)
			return why == ""
		})
	}
}

// admin returns an admin client of the broker.
func (s *stack) admin(t testing.TB) *kadm.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return kadm.NewClient(cl)
}

// members returns how many partitions each member of a group has, or nil while there is no answer.
func members(t testing.TB, adm *kadm.Client, group string) []int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	shares, err := broker.Shares(ctx, adm, group)
	if err != nil {
		return nil
	}
	return shares
}

// awaitMembers waits until each group has n members, none of them idle.
func awaitMembers(t testing.TB, adm *kadm.Client, n int, groups ...string) {
	t.Helper()
	for _, group := range groups {
		eventually(t, time.Minute, fmt.Sprintf("%d members share %s's partitions", n, group), func() bool {
			shares := members(t, adm, group)
			return len(shares) == n && !slices.Contains(shares, 0)
		})
	}
}

// deadLetters returns the number of records on all dead-letter topics.
func deadLetters(t testing.TB, adm *kadm.Client) int64 {
	t.Helper()
	n, err := broker.Count(t.Context(), adm, ".dlq")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// unplant removes every fault that is planted in a service's database.
func (s *stack) unplant(t testing.TB, service string) {
	t.Helper()
	if err := plant.Clear(context.WithoutCancel(t.Context()), s.DSN[service]); err != nil { // clean-up runs after the test's context
		t.Error(err)
	}
}

// refused returns how often the faults planted in a service's database have acted.
func (s *stack) refused(t testing.TB, service string) int {
	t.Helper()
	n, err := plant.Refused(t.Context(), s.DSN[service])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// memory returns a process's resident memory (VmRSS) in bytes, or 0 without /proc.
func (s *stack) memory(t testing.TB, name string) int64 {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	for line := range strings.Lines(s.must(t, "status")) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			b, err := os.ReadFile("/proc/" + f[1] + "/status")
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			_, rest, _ := strings.Cut(string(b), "VmRSS:")
			var kib int64
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				t.Fatalf("%s: no VmRSS in\n%s", name, b)
			}
			return kib << 10
		}
	}
	t.Fatalf("%s is not in the status", name)
	return 0
}
