// Package e2e tests the whole system as a black box: the real programs, started by the shop
// command, used over HTTP and Kafka, killed with SIGKILL.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
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

	clients "eventshop.example/lab/load"
	"eventshop.example/local/compose"
	"eventshop.example/ops/eventshop"
)

// stack is a running shop with its own state folder and its own free ports.
type stack struct {
	shop      string // the shop binary
	dir       string // state folder
	URL       map[string]string
	Operators map[string]string
	DSN       map[string]string
	Kafka     []string
}

// common is started once for the package. Tests get it through shared.
var common *stack

// shared returns the package's stack with every process running, whatever an earlier failed test
// has left dead or frozen.
func shared(t *testing.T) *stack {
	t.Helper()
	for _, name := range eventshop.Services() {
		if out, err := common.command("resume", name); err != nil {
			t.Logf("%v: %s", err, out) // it does not run: up starts it
		}
	}
	common.must(t, "up", "--detach")
	return common
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "eventshop-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// The database server may run as another user, which must be able to enter the folder.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if ok, code := dockerThere(); !ok {
		return code
	}
	s, err := up(dir)
	if s != nil {
		defer s.gone()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the stack did not come up:", err)
		return 1
	}
	common = s
	code := m.Run()
	if code != 0 {
		s.dumpLogs()
	}
	return code
}

// stackVariable is the environment variable that selects the system under test: embedded (the
// default); apache, the same processes with Apache Kafka as broker; debezium, the same as apache
// with Debezium instead of the polling relays; or compose, the containers of deploy/compose.yaml.
const stackVariable = "EVENTSHOP_E2E_STACK"

func kindOfStack() (string, error) {
	switch kind := os.Getenv(stackVariable); kind {
	case "":
		return "embedded", nil
	case "embedded", "apache", "compose", "debezium":
		return kind, nil
	default:
		return "", fmt.Errorf("%s is %q, want embedded, apache, compose or debezium", stackVariable, kind)
	}
}

// styleVariable is the environment variable that selects how the sagas of the suite's orders are
// coordinated: choreographed (the default), orchestrated, or mixed, where half of the customers have one
// style and half the other. Requests of the suite leave the style to the ramp.
const styleVariable = "EVENTSHOP_E2E_SAGA"

// orchestrated returns the share of orchestrated orders in percent.
func orchestrated() (percent int, err error) {
	shares := map[string]int{"": 0, "choreographed": 0, "mixed": 50, "orchestrated": 100}
	style := os.Getenv(styleVariable)
	percent, ok := shares[style]
	if !ok {
		return 0, fmt.Errorf("%s is %q, want choreographed, orchestrated or mixed", styleVariable, style)
	}
	return percent, nil
}

// definitionVariable is the environment variable that says which definition orchestrated sagas begin under; by
// default the orchestrator's own default.
const definitionVariable = "EVENTSHOP_E2E_DEFINITION"

// reservesFirst reports whether orchestrated sagas reserve before they charge, which is definition 2.
func reservesFirst() bool { return os.Getenv(definitionVariable) == "2" }

// composed reports whether the processes are containers.
func composed() bool { return os.Getenv(stackVariable) == "compose" }

// dockerThere reports whether the requirements of the selected stack are installed. Without them
// the package is skipped on a developer's machine and fails in CI.
func dockerThere() (ok bool, code int) {
	if !composed() {
		return true, 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := compose.Missing(ctx)
	if err == nil {
		return true, 0
	}
	fmt.Fprintln(os.Stderr, "not run on compose:", err)
	if os.Getenv("CI") == "true" {
		return false, 1
	}
	return false, 0
}

// up builds the shop command and starts a stack with short parcel times.
func up(dir string) (*stack, error) {
	root, err := filepath.Abs("..")
	if err != nil {
		return nil, err
	}
	s := &stack{shop: filepath.Join(dir, "shop"), dir: filepath.Join(dir, "state")}
	build := exec.Command("go", "build", "-o", s.shop, "./cmd/shop")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build cmd/shop: %w\n%s", err, out)
	}
	kind, err := kindOfStack()
	if err != nil {
		return s, err
	}
	on := []string{"--kafka", kind}
	switch kind {
	case "compose":
		on = []string{"--compose"}
	case "debezium":
		on = []string{"--kafka", "apache", "--cdc"}
	}
	return s, s.up(on...)
}

// up starts the stack with additional flags.
func (s *stack) up(on ...string) error {
	args := []string{"up", "--detach", "--ports", "auto",
		"--env", "carrier.DISPATCH_AFTER=1500ms", "--env", "carrier.DELIVER_AFTER=500ms",
		"--env", "order.SNAPSHOT_EVERY=3"} // so that every order is loaded from a snapshot and a tail
	for _, service := range eventshop.Services() {
		args = append(args, "--env", service+".SCHEMA_GRACE=2s") // for undecodable records that name schemas
	}
	if version := os.Getenv(definitionVariable); version != "" {
		args = append(args, "--env", "orchestrator.SAGA_DEFINITION="+version)
	}
	out, err := s.command(append(args, on...)...)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	if err := s.readState(); err != nil {
		return err
	}
	return s.ramp()
}

// ramp sets the share of orchestrated orders, which the order service refuses until it has seen every
// participant in its consumer group.
func (s *stack) ramp() error {
	percent, err := orchestrated()
	if err != nil || percent == 0 {
		return err
	}
	for attempt := 0; ; attempt++ {
		a, err := send(context.Background(), http.MethodPut, s.URL["order"]+"/sagas/style", fmt.Sprintf(`{"orchestratedPercent":%d}`, percent))
		if err == nil && a.status == http.StatusOK {
			return nil
		}
		if attempt == 30 {
			return fmt.Errorf("the ramp was refused: %d %s, %w", a.status, a.body, err)
		}
		<-time.After(time.Second)
	}
}

// readState reads addresses from the state file.
func (s *stack) readState() error {
	b, err := os.ReadFile(filepath.Join(s.dir, "state.json"))
	if err != nil {
		return err
	}
	var f struct {
		URLs      map[string]string
		Operators map[string]string
		Databases map[string]string
		Kafka     []string
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	s.URL, s.Operators, s.DSN, s.Kafka = f.URLs, f.Operators, f.Databases, f.Kafka
	return nil
}

// command runs a shop command on this stack and returns its output.
func (s *stack) command(args ...string) (string, error) {
	root, err := filepath.Abs("..")
	if err != nil {
		return "", err
	}
	cmd := exec.Command(s.shop, append(args, "--state", s.dir)...)
	cmd.Dir = root
	if slices.Contains(args, "--json") { // a document is parsed; the progress of a slow command is not part of it
		out, err := cmd.Output()
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			out = append(out, failed.Stderr...)
		}
		return string(out), ran(args, err)
	}
	out, err := cmd.CombinedOutput()
	return string(out), ran(args, err)
}

// ran says which command failed.
func ran(args []string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("shop %s: %w", strings.Join(args, " "), err)
}

// must runs a shop command that has to succeed.
func (s *stack) must(t testing.TB, args ...string) string {
	t.Helper()
	out, err := s.command(args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// gone stops the stack and deletes its data, not all of which is in its folder.
func (s *stack) gone() {
	for _, command := range []string{"down", "wipe"} {
		if out, err := s.command(command); err != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		}
	}
}

func (s *stack) dumpLogs() {
	out, err := s.command("logs", "--raw", "--lines", "25")
	if err != nil {
		out += err.Error()
	}
	fmt.Fprintln(os.Stderr, out)
}

// answer is an HTTP response that was read completely.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) field(t testing.TB, name string) string {
	t.Helper()
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatalf("answer %d is no JSON object: %v\n%s", a.status, err, a.body)
	}
	return fmt.Sprint(m[name])
}

var client = clients.NewClient()

// send sends one request with a raw body. It returns errors of the connection, never of a status.
func send(ctx context.Context, method, url, body string, headers ...string) (answer, error) {
	a, err := client.Send(ctx, method, url, body, headers...)
	return answer{a.Status, a.Header, a.Body}, err
}

func get(t testing.TB, url string) answer {
	t.Helper()
	a, err := send(t.Context(), http.MethodGet, url, "")
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	return a
}

func post(t testing.TB, url, body string, headers ...string) answer {
	t.Helper()
	a, err := send(t.Context(), http.MethodPost, url, body, headers...)
	if err != nil {
		t.Fatalf("POST %s: %v", url, err)
	}
	return a
}

// orderBody is a valid order of pieces of one SKU at 10.00 each.
func orderBody(customer, sku string, quantity int) string {
	return clients.Order{Customer: customer, SKU: sku, Quantity: quantity}.Body()
}

// eventually fails the test unless the condition becomes true in time. The condition itself must
// not block for longer than within.
func eventually(t testing.TB, within time.Duration, what string, condition func() bool) {
	t.Helper()
	eventuallySay(t, within, func() string { return what }, condition)
}

// eventuallySay is eventually with a message that is built only after a failure.
func eventuallySay(t testing.TB, within time.Duration, what func() string, condition func() bool) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if condition() {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", within, what())
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

// awaitStatus waits for an order to have one of the statuses.
func (s *stack) awaitStatus(t testing.TB, orderID string, want ...string) string {
	t.Helper()
	got := ""
	eventually(t, 60*time.Second, fmt.Sprintf("order %s is %v", orderID, want), func() bool {
		a, err := send(t.Context(), http.MethodGet, s.URL["order"]+"/orders/"+orderID, "")
		if err != nil || a.status != http.StatusOK {
			return false
		}
		got = a.field(t, "status")
		for _, w := range want {
			if got == w {
				return true
			}
		}
		return false
	})
	return got
}

// receive adds pieces of a SKU to the stock.
func (s *stack) receive(t testing.TB, sku string, quantity int) {
	t.Helper()
	a := post(t, s.URL["inventory"]+"/stock/"+sku+"/receipts", fmt.Sprintf(`{"quantity":%d}`, quantity))
	if a.status != http.StatusCreated {
		t.Fatalf("receive %d of %s: %d %s", quantity, sku, a.status, a.body)
	}
}

// fault adds a rule to an external system until the end of the test.
func (s *stack) fault(t testing.TB, at, rule string) (remove func()) {
	t.Helper()
	a := post(t, s.URL[at]+"/faults", rule)
	if a.status/100 != 2 {
		t.Fatalf("add fault at %s: %d %s", at, a.status, a.body)
	}
	id := a.field(t, "id")
	gone := false
	remove = func() {
		if gone {
			return
		}
		gone = true
		if _, err := send(context.WithoutCancel(t.Context()), http.MethodDelete, s.URL[at]+"/faults/"+id, ""); err != nil {
			t.Errorf("remove fault %s at %s: %v", id, at, err)
		}
	}
	t.Cleanup(remove)
	return remove
}

// verify runs the invariant checker and fails the test on any breach. It also checks that no two
// transactions of a service have ever waited for each other: all of them lock keys in one order.
func (s *stack) verify(t testing.TB) {
	t.Helper()
	out := s.must(t, "verify", "--settle", "120s")
	t.Log("\n" + out)
	for name, url := range s.DSN {
		if n := s.deadlocks(t, url); n != 0 {
			t.Errorf("%s: the server ended %d deadlocks", name, n)
		}
	}
}

// deadlocks returns how many deadlocks the server has found in the database since it started, or
// since it recovered from a crash.
func (s *stack) deadlocks(t testing.TB, url string) (n int64) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	if err := c.QueryRow(t.Context(), `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
