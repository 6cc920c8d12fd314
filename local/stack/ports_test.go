package stack

import (
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"eventshop.example/ops/eventshop"
)

// Not parallel: t.Setenv.
func TestWhereAPortComesFrom(t *testing.T) {
	for _, c := range []struct {
		name  string
		old   map[string]int // of last time
		env   string         // SHOP_PORT_ORDER
		given map[string]int
		want  int
		err   string
	}{
		{name: "default", want: 8081},
		{name: "as last time", old: map[string]int{"order": 9001}, want: 9001},
		{name: "environment over last time", old: map[string]int{"order": 9001}, env: "9002", want: 9002},
		{name: "flag over environment", env: "9002", given: map[string]int{"order": 9003}, want: 9003},
		{name: "environment is no number", env: "http", err: "SHOP_PORT_ORDER"},
		{name: "environment is no port", env: "70000", err: "SHOP_PORT_ORDER"},
		{name: "twice", given: map[string]int{"order": 8082}, err: "both order and payment"},
		{name: "unknown process", given: map[string]int{"orders": 1}, err: `"orders"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("SHOP_PORT_ORDER", c.env)
			s, err := Open(t.TempDir(), "", "", io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			s.file.Ports = c.old
			got, err := s.ports(c.given, false, nil)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want an error with %q", err, c.err)
				}
				return
			}
			if err != nil || got["order"] != c.want {
				t.Errorf("got %d, %v, want %d", got["order"], err, c.want)
			}
			want := DefaultPorts()
			want["order"] = c.want
			delete(want, "broker-controller") // only Apache Kafka has one
			delete(want, Connect)             // only with change data capture
			for _, service := range eventshop.Services() {
				delete(want, ownDatabase(service)) // only in containers
			}
			if !maps.Equal(got, want) {
				t.Errorf("the others changed: %v", got)
			}
		})
	}
}

func TestAutoPortsAreFreeAndDifferent(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir(), "", "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := s.ports(map[string]int{"order": 9001}, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ports["order"] != 9001 {
		t.Errorf("order has %d, though 9001 was given", ports["order"])
	}
	for name, port := range ports {
		if name != "order" && port == DefaultPorts()[name] {
			t.Errorf("%s has its default port", name)
		}
	}
}

func TestARunningProcessKeepsItsPort(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir(), "", "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s.file.Ports = DefaultPorts()
	running := map[string]int{"order": 1234}
	if _, err := s.ports(map[string]int{"order": 9001}, false, running); err == nil || !strings.Contains(err.Error(), "order runs on port 8081") {
		t.Errorf("got %v", err)
	}
	got, err := s.ports(map[string]int{"payment": 9001}, true, running)
	if err != nil || got["order"] != 8081 || got["payment"] != 9001 {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestDrawnPortsAreUsedByNoOtherStack: stacks that draw concurrently, and long before they listen, get
// different ports. The ports of a wiped stack can be drawn again.
func TestDrawnPortsAreUsedByNoOtherStack(t *testing.T) {
	t.Parallel()
	const stacks = 20
	var mu sync.Mutex
	owner := map[int]string{}
	var wg sync.WaitGroup
	for range stacks {
		s, err := Open(t.TempDir(), "", "", io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			ports, err := s.ports(nil, true, nil)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for name, port := range ports {
				if other, twice := owner[port]; twice {
					t.Errorf("port %d was drawn for %s of %s and for %s", port, name, s.State, other)
				}
				owner[port] = name + " of " + s.State
			}
		})
	}
	wg.Wait()

	s, err := Open(t.TempDir(), "", "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := s.ports(nil, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	has := func(dir string) bool {
		c, err := openClaims()
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		return c.owner[ports["order"]] == dir
	}
	if !has(s.State) {
		t.Error("the drawn port is not claimed")
	}
	if err := s.Wipe(); err != nil {
		t.Fatal(err)
	}
	if has(s.State) {
		t.Error("the wiped stack still claims its port")
	}
}

func TestAutoPortsReplaceOneThatIsTaken(t *testing.T) {
	t.Parallel()
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	taken := stranger.Addr().(*net.TCPAddr).Port
	s, err := Open(t.TempDir(), "", "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s.file.Ports = map[string]int{"order": taken}
	if got, err := s.ports(nil, true, nil); err != nil || got["order"] == taken {
		t.Errorf("got %d, %v", got["order"], err)
	}
	if got, err := s.ports(nil, false, nil); err != nil || got["order"] != taken {
		t.Errorf("without auto: got %d, %v", got["order"], err)
	}
}

// TestAProcessOfALaterRelease: a stack of before has no port for it.
func TestAProcessOfALaterRelease(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir(), "", "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s.file.Ports = map[string]int{"order": DefaultPorts()["order"], "payment": 21000}
	if got, err := s.ports(nil, false, nil); err != nil || got["inventory"] != DefaultPorts()["inventory"] {
		t.Errorf("beside default ports: %d, %v, want the default", got["inventory"], err)
	}
	s.file.Ports = map[string]int{"order": 21001, "payment": 21000}
	got, err := s.ports(nil, false, nil)
	if err != nil || got["inventory"] == DefaultPorts()["inventory"] || got["order"] != 21001 {
		t.Errorf("beside drawn ports: %d, %v, want a drawn one", got["inventory"], err)
	}
}

func TestReplicasHavePortsOfTheirOwn(t *testing.T) {
	t.Parallel()
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	taken := stranger.Addr().(*net.TCPAddr).Port
	s, err := Open(t.TempDir(), "", "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s.file.Replicas = map[string]int{"order": 3}
	s.file.Ports = map[string]int{"order": 8081, "order-2": taken}
	got, err := s.ports(map[string]int{"order-3": 9003}, false, map[string]int{"order": 1234})
	if err != nil {
		t.Fatal(err)
	}
	if got["order-3"] != 9003 || got["order-2"] == taken || got["order-2"] == 0 {
		t.Errorf("order-2 has %d, which must not be %d, and order-3 has %d", got["order-2"], taken, got["order-3"])
	}
	// A stack from before the ports for operators gets the default ones.
	if got["order-operator"] != 9181 || got["order-2-operator"] == 0 || got["order-3-operator"] == 0 {
		t.Errorf("for operators: %v", got)
	}
	s.listen(got)
	if f := s.file; f.Operators["order"] != "http://127.0.0.1:9181" || f.URL["order-3"] != "http://127.0.0.1:9003" || f.URL["order-operator"] != "" {
		t.Errorf("URLs %v, for operators %v", f.URL, f.Operators)
	}
}

func TestNamesOfReplicas(t *testing.T) {
	t.Parallel()
	for name, service := range map[string]string{
		"order": "order", "order-2": "order", "order-9": "order", "order-1": "", "order-10": "", "order-02": "",
		"order-": "", "order-x": "", "order-operator": "", "orders": "", "broker": "", "broker-2": "", "": "",
	} {
		if got := serviceOf(name); got != service {
			t.Errorf("%q is a process of %q, want %q", name, got, service)
		}
	}
}

// The environment cannot change a port or the access of a running shop either.
//
// Not parallel: t.Setenv.
func TestWhatDoesNotFitARunningShop(t *testing.T) {
	t.Setenv("SHOP_PORT_ORDER_OPERATOR", "9999")
	s, err := Open(t.TempDir(), "", "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s.file.Ports = DefaultPorts()
	running := map[string]int{"order": 1234}
	was := s.file
	was.KafkaSecurity.TLS, was.RegistryAccess.Username = true, "ada"
	err = s.fits(was, Options{}, running)
	if err == nil {
		t.Fatal("everything fits")
	}
	for _, want := range []string{"9999 for order-operator, which is on 9181", "KAFKA_", "SCHEMA_REGISTRY_"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	if err := s.fits(s.file, Options{Ports: map[string]int{"order-operator": 9181, "payment": 1}}, running); err != nil {
		t.Errorf("the port that the process has, and one of a process that does not run: %v", err)
	}
}

// TestPortsThatAStackDoesNotHaveAreGivenUp: other stacks can draw them.
func TestPortsThatAStackDoesNotHaveAreGivenUp(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir(), "", "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := func(what string) {
		t.Helper()
		c, err := openClaims()
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		has := slices.Collect(maps.Values(s.file.Ports))
		for port, owner := range c.owner {
			if owner == s.State && !slices.Contains(has, port) {
				t.Errorf("%s, port %d is claimed and not the stack's", what, port)
			}
		}
	}
	// A port that is given twice: nothing is started or stored.
	if err := s.Up(t.Context(), Options{AutoPorts: true, Ports: map[string]int{"order": 9001, "payment": 9001}}); err == nil {
		t.Fatal("up with one port for two")
	}
	s.file.Ports = nil
	want("after an up that failed")

	s.file.Ports = DefaultPorts()
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{4, 1} {
		if err := s.Scale(t.Context(), "order", n); err != nil {
			t.Fatal(err)
		}
		want("after scale")
	}
	for _, kinds := range [][]string{{"replicas"}, {"port"}, {}} {
		if err := s.Scale(t.Context(), "payment", 3); err != nil {
			t.Fatal(err)
		}
		port, err := s.freePort()
		if err != nil {
			t.Fatal(err)
		}
		s.file.Ports["order"] = port
		if err := s.save(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Reset(t.Context(), kinds...); err != nil {
			t.Fatal(err)
		}
		want("after a reset")
	}
}
