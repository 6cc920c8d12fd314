// Package stack is the shop on one machine: which processes it consists of, how they are
// started and told where the others are, and where it keeps its state. The processes are
// programs, or containers of deploy/compose.yaml.
//
// All state of programs is in one folder (except the database's files where the user its
// server runs as cannot get into that; Up says so), that of containers in Docker's volumes. A stack that was stopped, or
// whose processes were killed, goes on with its data when it is started again.
package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"eventshop.example/local/postgres"
	"eventshop.example/local/process"
	"eventshop.example/pkg/kafka"
)

// Names of the processes that serve the services, in start order.
const (
	Postgres = "postgres"
	Broker   = "broker"
	Registry = "registry"
	Connect  = "connect" // Kafka Connect, in a shop with change data capture
	Gateway  = "gateway"
	Carrier  = "carrier"
)

// DefaultPorts are where the processes listen unless told otherwise, by process, and
// for operators by process with "-operator" behind it. Further replicas of a service
// have no default: they take free ports.
func DefaultPorts() map[string]int {
	return map[string]int{
		Postgres: 15432, Broker: 19092, Registry: 18081, Gateway: 18090, Carrier: 18091,
		"order": 8081, "payment": 8082, "inventory": 8083, "shipping": 8084, "projection": 8085,
		"order-operator": 9181, "payment-operator": 9182, "inventory-operator": 9183,
		"shipping-operator": 9184, "projection-operator": 9185,
		"broker-controller": 19093, // used by Apache Kafka only
		Connect:             18083, // for change data capture only
		// In containers each service has a server of its own.
		"postgres-order": 15431, "postgres-payment": 15432, "postgres-inventory": 15433,
		"postgres-shipping": 15434, "postgres-projection": 15435,
	}
}

// Stack is one shop on disk, running or not.
type Stack struct {
	State string // folder
	Root  string // the repository, where the programs are built
	Self  string // this program, which serves as broker and registry too
	Out   io.Writer

	processes process.Runner // of programs
	file      File
}

// File is state.json: what is needed to start a process again or to talk to it.
type File struct {
	Ports       map[string]int    `json:"ports"`              // as DefaultPorts names them
	URL         map[string]string `json:"urls"`               // of every process that speaks HTTP
	Operators   map[string]string `json:"operators"`          // of each service process, for operators
	Replicas    map[string]int    `json:"replicas,omitempty"` // how many processes a scaled service has; others have one
	DSN         map[string]string `json:"databases"`          // of each service
	Kafka       []string          `json:"kafka"`
	Admin       string            `json:"adminDatabase"` // the superuser's URL; "" where each service has a server of its own
	Source      postgres.Source   `json:"postgresSource"`
	PostgresBin string            `json:"postgresBin,omitempty"`
	KafkaSource KafkaSource       `json:"kafkaSource,omitempty"` // "" is Embedded
	// KafkaSecurity is that of a cluster of somebody else's.
	KafkaSecurity kafka.Security               `json:"kafkaSecurity,omitzero"`
	Java          string                       `json:"java,omitempty"` // the program that runs Apache Kafka
	KafkaJars     string                       `json:"kafkaJars,omitempty"`
	Compose       bool                         `json:"compose,omitempty"` // the processes are containers
	Capture       bool                         `json:"capture,omitempty"` // there is Kafka Connect, for change data capture
	ConnectJars   string                       `json:"connectJars,omitempty"`
	Secrets       string                       `json:"secrets,omitempty"` // folder of the containers' passwords
	Env           map[string]map[string]string `json:"env"`               // settings given by hand, by process
}

// Open returns the stack in a state folder. It need not exist yet.
func Open(state, root, self string, out io.Writer) (*Stack, error) {
	state, err := filepath.Abs(state)
	if err != nil {
		return nil, err
	}
	s := &Stack{State: state, Root: root, Self: self, Out: out, processes: process.Runner{Dir: filepath.Join(state, "run")}}
	return s, s.load()
}

// load reads state.json. Without one the stack is not known.
func (s *Stack) load() error {
	b, err := os.ReadFile(s.path())
	if errors.Is(err, os.ErrNotExist) {
		s.file = File{}
		return nil
	}
	var f File
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", s.path(), err)
	}
	s.file = f
	return nil
}

func (s *Stack) path() string { return filepath.Join(s.State, "state.json") }

// bin is a built program.
func (s *Stack) bin(name string) string { return filepath.Join(s.State, "bin", name) }

func (s *Stack) save() error {
	b, err := json.MarshalIndent(s.file, "", "  ")
	if err != nil {
		return err
	}
	// It holds passwords.
	tmp := s.path() + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, s.path())
}

// File returns what is known of the stack; its maps are nil when it was never up.
func (s *Stack) File() File { return s.file }

// RegistryForServices is the registry's URL as the services know it.
func (f File) RegistryForServices() string {
	if f.Compose {
		return "http://registry:8081"
	}
	return f.URL[Registry]
}

// Known tells whether the stack has been up before.
func (s *Stack) Known() bool { return s.file.Ports != nil }

// DataDir is where a program keeps its data: the embedded broker and registry, gateway and
// carrier. The database server's files may be elsewhere.
func (s *Stack) DataDir(name string) string { return filepath.Join(s.State, name) }

// LogFile is where a process's output goes.
func (s *Stack) LogFile(name string) string { return filepath.Join(s.State, "logs", name+".log") }

// Status returns what became of each process.
func (s *Stack) Status() (map[string]process.Status, error) {
	return s.runs().Status(s.Processes())
}

// Running returns the pids of the processes that live.
func (s *Stack) Running() (map[string]int, error) {
	all, err := s.Status()
	pids := map[string]int{}
	for name, st := range all {
		if st.PID != 0 {
			pids[name] = st.PID
		}
	}
	return pids, err
}

// expected lists the processes this stack runs by itself.
func (s *Stack) expected() []string {
	var names []string
	for _, name := range s.Processes() {
		if s.Elsewhere(name) {
			continue
		}
		names = append(names, name)
	}
	return names
}
