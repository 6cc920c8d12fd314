// Package e2e tests the whole system as a black box: the real programs, started
// by the shop command, spoken to over HTTP and Kafka, killed with SIGKILL.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"eventshop.example/local/compose"
	clients "eventshop.example/local/load"
)

// stack is a running shop of its own: own state folder, own free ports.
type stack struct {
	shop      string // the shop binary
	dir       string // state folder
	URL       map[string]string
	Operators map[string]string
	DSN       map[string]string
	Kafka     []string
}

// common is brought up once for the package. Tests get it through shared.
var common *stack

// shared returns the package's stack with everything running, whatever an earlier
// test that failed has left dead or frozen.
func shared(t *testing.T) *stack {
	t.Helper()
	for _, name := range services() {
		if out, err := common.command("resume", name); err != nil {
			t.Logf("%v: %s", err, out) // it does not run: up starts it
		}
	}
	common.must(t, "up", "--detach")
	return common
}

func services() []string { return []string{"order", "payment", "inventory", "shipping", "projection"} }

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
	// The database server may run as another user, who has to get in.
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

// stackVariable is the environment variable that says what the system under test stands
// on: embedded (the default); apache, the same processes with Apache Kafka as broker;
// debezium, that with Debezium in place of the polling relays; or
// compose, the containers of deploy/compose.yaml.
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

// composed tells whether the processes are containers.
func composed() bool { return os.Getenv(stackVariable) == "compose" }

// dockerThere tells whether there is what the chosen stack needs. Without it the package
// is left out at a desk and fails in CI.
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

// up builds the shop command and starts a stack with fast parcels.
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

// up starts the stack on what the flags say.
func (s *stack) up(on ...string) error {
	args := []string{"up", "--detach", "--ports", "auto",
		"--env", "carrier.DISPATCH_AFTER=1500ms", "--env", "carrier.DELIVER_AFTER=500ms",
		"--env", "order.SNAPSHOT_EVERY=3"} // so that every order is loaded from a snapshot and a tail
	for _, service := range []string{"order", "payment", "inventory", "shipping", "projection"} {
		args = append(args, "--env", service+".SCHEMA_GRACE=2s") // for rubbish that names schemas
	}
	out, err := s.command(append(args, on...)...)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return s.readState()
}

// readState learns addresses from the state file.
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

// command runs one shop command on this stack and returns what it printed.
func (s *stack) command(args ...string) (string, error) {
	root, err := filepath.Abs("..")
	if err != nil {
		return "", err
	}
	cmd := exec.Command(s.shop, append(args, "--state", s.dir)...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("shop %s: %w", strings.Join(args, " "), err)
	}
	return string(out), err
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

// gone stops the stack and deletes its data, which is not all in its folder.
func (s *stack) gone() {
	for _, command := range []string{"down", "wipe"} {
		if out, err := s.command(command); err != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		}
	}
}

func (s *stack) dumpLogs() {
	out, err := s.command("logs", "--lines", "25")
	if err != nil {
		out += err.Error()
	}
	fmt.Fprintln(os.Stderr, out)
}

// answer is an HTTP response read to its end.
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

// send makes one request with a raw body. An error is a connection's, never a
// status.
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

// eventually fails the test unless the condition comes true in time. The condition
// must not block for longer than within itself.
func eventually(t testing.TB, within time.Duration, what string, condition func() bool) {
	t.Helper()
	eventuallySay(t, within, func() string { return what }, condition)
}

// eventuallySay is eventually with words that are put together when it has failed.
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

// receive stocks pieces of a SKU.
func (s *stack) receive(t testing.TB, sku string, quantity int) {
	t.Helper()
	a := post(t, s.URL["inventory"]+"/stock/"+sku+"/receipts", fmt.Sprintf(`{"quantity":%d}`, quantity))
	if a.status != http.StatusCreated {
		t.Fatalf("receive %d of %s: %d %s", quantity, sku, a.status, a.body)
	}
}

// fault adds a rule to the gateway or carrier for the time of the test.
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

// verify runs the invariant checker and fails the test on any breach.
func (s *stack) verify(t testing.TB) {
	t.Helper()
	out := s.must(t, "verify", "--settle", "120s")
	t.Log("\n" + out)
}
