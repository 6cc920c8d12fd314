package upgrade

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/lab/load"
	"eventshop.example/ops/eventshop"
)

// Statuses of an order.
const (
	pending   = "PENDING"
	confirmed = "CONFIRMED"
	delivered = "DELIVERED"
	cancelled = "CANCELLED"
)

// shop is a state folder, whichever release runs on it.
type shop struct {
	dir       string
	client    *load.Client
	last      release // whose command was used last
	URL       map[string]string
	Operators map[string]string
	DSN       map[string]string
	Kafka     []string
}

// newShop returns an empty state folder. At the end of the test it stops what runs there.
func newShop(t *testing.T) *shop {
	t.Helper()
	dir, err := os.MkdirTemp("", "eventshop-upgrade-")
	if err != nil {
		t.Fatal(err)
	}
	// The database server may run as another user, which must be able to enter the folder.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &shop{dir: filepath.Join(dir, "state"), client: load.NewClient()}
	t.Cleanup(func() {
		if t.Failed() {
			s.showLogs(t)
		}
		for _, args := range [][]string{{"down"}, {"wipe"}} {
			if s.last.bin == "" {
				break
			}
			if out, err := s.command(s.last, args...); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return s
}

// showLogs logs the last warnings and errors of every process.
func (s *shop) showLogs(t testing.TB) {
	files, err := filepath.Glob(filepath.Join(s.dir, "logs", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Error(err)
		}
		lines := slices.DeleteFunc(strings.Split(string(b), "\n"), func(l string) bool { return strings.Contains(l, `"level":"INFO"`) })
		t.Logf("%s:\n%s", filepath.Base(f), strings.Join(lines[max(0, len(lines)-25):], "\n"))
	}
}

// command runs a shop command of a release on this folder and returns its output.
func (s *shop) command(r release, args ...string) (string, error) {
	s.last = r
	cmd := exec.Command(r.shop(), append(args, "--state", s.dir)...)
	cmd.Dir, cmd.Env = r.root, environment() // by its folder the command finds its sources
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("shop %s: %w", strings.Join(args, " "), err)
	}
	return string(out), err
}

// must runs a shop command that has to succeed.
func (s *shop) must(t testing.TB, r release, args ...string) string {
	t.Helper()
	out, err := s.command(r, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// up starts what does not run, with a release's programs.
func (s *shop) up(t testing.TB, r release, flags ...string) {
	t.Helper()
	began := time.Now()
	s.install(t, r)
	s.must(t, r, append([]string{"up", "--detach"}, flags...)...)
	s.readState(t)
	t.Logf("up after %.1f s", time.Since(began).Seconds())
}

// install puts a release's programs where up would build them, so that up has nothing to compile. A
// program that runs keeps its file.
func (s *shop) install(t testing.TB, r release) {
	t.Helper()
	dir := filepath.Join(s.dir, "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	programs, err := os.ReadDir(r.bin)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		if p.Name() == "shop" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(r.bin, p.Name()))
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, p.Name())
		if err := os.WriteFile(to+".new", b, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(to+".new", to); err != nil {
			t.Fatal(err)
		}
	}
}

// readState reads addresses from the state file.
func (s *shop) readState(t testing.TB) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		URLs, Operators, Databases map[string]string
		Kafka                      []string
	}
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	s.URL, s.Operators, s.DSN, s.Kafka = f.URLs, f.Operators, f.Databases, f.Kafka
}

// post sends a request that has to be answered with one of the statuses.
func (s *shop) post(t testing.TB, url, body string, want ...int) load.Answer {
	t.Helper()
	a, err := s.client.Send(t.Context(), http.MethodPost, url, body)
	if err != nil || !slices.Contains(want, a.Status) {
		t.Fatalf("POST %s: %v %d %s", url, err, a.Status, a.Body)
	}
	return a
}

// place places an order of one piece.
func (s *shop) place(t testing.TB, customer, sku string) string {
	t.Helper()
	a := s.post(t, s.URL["order"]+"/orders", load.Order{Customer: customer, SKU: sku, Quantity: 1}.Body(), http.StatusCreated)
	return a.OrderID()
}

// placeAll places several orders.
func (s *shop) placeAll(t testing.TB, n int, customer, sku string) (ids []string) {
	t.Helper()
	for range n {
		ids = append(ids, s.place(t, customer, sku))
	}
	return ids
}

// placeDrafts places orders that were drafts before, at a process of this release.
func (s *shop) placeDrafts(t testing.TB, n int, at, customer, sku string) (ids []string) {
	t.Helper()
	body := fmt.Sprintf(`{"draft":true,"customer":{"id":%q,"name":"Ada Lovelace","email":"ada@example.com"},
		"shippingAddress":{"street":"123 Babbage Lane","city":"London","postalCode":"SW1A 1AA"},
		"items":[{"sku":%q,"quantity":1,"unitPrice":10.00}],"currency":"GBP"}`, customer, sku)
	for range n {
		id := s.post(t, s.URL[at]+"/orders", body, http.StatusCreated).OrderID()
		a, err := s.client.Send(t.Context(), http.MethodPost, s.URL[at]+"/orders/"+id+"/place", "", "If-Match", `*`)
		if err != nil || a.Status != http.StatusOK {
			t.Fatalf("place draft %s: %v %d %s", id, err, a.Status, a.Body)
		}
		ids = append(ids, id)
	}
	return ids
}

// cancel has an order cancelled.
func (s *shop) cancel(t testing.TB, id string) {
	t.Helper()
	s.post(t, s.URL["order"]+"/orders/"+id+"/cancel", `{}`, http.StatusOK, http.StatusAccepted)
}

// stock adds pieces of SKUs.
func (s *shop) stock(t testing.TB, skus ...string) {
	t.Helper()
	for _, sku := range skus {
		s.post(t, s.URL["inventory"]+"/stock/"+sku+"/receipts", `{"quantity":100000}`, http.StatusCreated)
	}
}

// rule adds a rule to the gateway or the carrier. It does not outlive the process.
func (s *shop) rule(t testing.TB, at, rule string) {
	t.Helper()
	s.post(t, s.URL[at]+"/faults", rule, http.StatusOK, http.StatusCreated)
}

// status returns an order's status, "" while no process answers.
func (s *shop) status(t testing.TB, id string) string {
	a, err := s.client.Send(t.Context(), http.MethodGet, s.URL["order"]+"/orders/"+id, "")
	if err != nil || a.Status != http.StatusOK {
		return ""
	}
	var order struct{ Status string }
	if err := json.Unmarshal(a.Body, &order); err != nil {
		t.Fatalf("order %s: %v", id, err)
	}
	return order.Status
}

// await waits until every order has one of the statuses.
func (s *shop) await(t testing.TB, ids []string, want ...string) {
	t.Helper()
	for _, id := range ids {
		got := ""
		eventually(t, 90*time.Second, func() string { return fmt.Sprintf("order %s is %v, it is %q", id, want, got) }, func() bool {
			got = s.status(t, id)
			return slices.Contains(want, got)
		})
	}
}

// query runs SQL in a service's database and returns the one number.
func (s *shop) query(t testing.TB, service, sql string) (n int64) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), s.DSN[service])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	if err := c.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatalf("%s: %s: %v", service, sql, err)
	}
	return n
}

// exec runs SQL statements in a service's database.
func (s *shop) exec(t testing.TB, service, sql string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), s.DSN[service])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	if _, err := c.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", service, err)
	}
}

// awaitCount waits until a query returns at least n.
func (s *shop) awaitCount(t testing.TB, n int64, service, sql string) {
	t.Helper()
	got := int64(-1)
	// A record whose schema id is unknown becomes a dead letter after SCHEMA_GRACE, which is 30 s.
	eventually(t, time.Minute, func() string { return fmt.Sprintf("%s: %s: %d, want %d", service, sql, got, n) }, func() bool {
		got = s.query(t, service, sql)
		return got >= n
	})
}

// verify checks the invariants, and that nothing waits for an operator.
func (s *shop) verify(t testing.TB, r release) {
	t.Helper()
	t.Log("\n" + s.must(t, r, "verify", "--settle", "90s"))
	for _, service := range eventshop.Services() {
		for what, sql := range map[string]string{
			"open dead letters": openLetters, "parked keys": parkedKeys, "parked records": followers,
		} {
			if n := s.query(t, service, sql); n != 0 {
				t.Errorf("%s has %d %s", service, n, what)
			}
		}
	}
}

// What waits in a service's database, in both releases.
const (
	openLetters = `SELECT count(*) FROM dead_letters WHERE status = 'open'`
	parkedKeys  = `SELECT count(*) FROM parked_keys`
	followers   = `SELECT count(*) FROM parked_records`
)

// eventually fails the test unless the condition becomes true in time.
func eventually(t testing.TB, within time.Duration, what func() string, condition func() bool) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", within, what())
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}
