// Package stack is the shop on one machine: its processes, how they are started and learn each
// other's addresses, and its state on disk. The processes are programs, or containers of
// deploy/compose.yaml.
//
// The state of programs is in one folder, except for the database's files if the server's user
// cannot enter that folder; Up reports that. The state of containers is in Docker's volumes. A
// stack that was stopped, or whose processes were killed, continues with its data at the next
// start.
package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"eventshop.example/local/postgres"
	"eventshop.example/local/process"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/schema"
)

// Names of the processes that serve the services, in start order.
const (
	Postgres = "postgres"
	Broker   = "broker"
	Registry = "registry"
	Connect  = "connect" // Kafka Connect, in a shop with change data capture
	Gateway  = "gateway"
	Carrier  = "carrier"
	Mailbox  = "mailbox"
)

// DefaultPorts returns the default ports by process, and for operators by process with the suffix
// "-operator". Further replicas of a service have no default: they get free ports.
func DefaultPorts() map[string]int {
	return map[string]int{
		Postgres: 15432, Broker: 19092, Registry: 18081, Gateway: 18090, Carrier: 18091, Mailbox: 18092,
		"order": 8081, "payment": 8082, "inventory": 8083, "shipping": 8084, "projection": 8085, "notification": 8086, "orchestrator": 8087,
		"order-operator": 9181, "payment-operator": 9182, "inventory-operator": 9183,
		"shipping-operator": 9184, "projection-operator": 9185, "notification-operator": 9186, "orchestrator-operator": 9187,
		"broker-controller": 19093, // used by Apache Kafka only
		Connect:             18083, // for change data capture only
		// In containers each service has its own server.
		"postgres-order": 15431, "postgres-payment": 15432, "postgres-inventory": 15433,
		"postgres-shipping": 15434, "postgres-projection": 15435, "postgres-notification": 15436,
		"postgres-orchestrator": 15437,
	}
}

// Stack is one shop on disk, running or not.
type Stack struct {
	State string // folder
	Root  string // the repository, from which the programs are built
	Self  string // this program, which also serves as broker and registry
	Out   io.Writer
	// Waiting is called when the stack begins a long step. The stack calls note with its progress
	// and over at its end. atMost is the maximum duration; 0 is unknown. A stack without it shows
	// no progress.
	Waiting func(what string, atMost time.Duration) (note func(text string), over func())

	processes process.Runner // of programs
	file      File
	opened    string // the Life that the last Up began; see Opened
}

// File is state.json: everything that is needed to start a process again or to connect to it.
type File struct {
	Root        string            `json:"root,omitempty"`     // the repository that the programs were built in
	Life        string            `json:"life,omitempty"`     // from one Up that finds nothing running until Down; then a new value
	Ports       map[string]int    `json:"ports"`              // by the names of DefaultPorts
	URL         map[string]string `json:"urls"`               // of every process that speaks HTTP
	Operators   map[string]string `json:"operators"`          // of each service process, for operators
	Replicas    map[string]int    `json:"replicas,omitempty"` // how many processes a scaled service has; others have one
	DSN         map[string]string `json:"databases"`          // of each service
	Kafka       []string          `json:"kafka"`
	Admin       string            `json:"adminDatabase"` // the superuser's URL; "" where each service has a server of its own
	Source      postgres.Source   `json:"postgresSource"`
	PostgresBin string            `json:"postgresBin,omitempty"`
	KafkaSource KafkaSource       `json:"kafkaSource,omitempty"` // "" is Embedded
	// KafkaSecurity has the access settings of an external cluster.
	KafkaSecurity kafka.Security `json:"kafkaSecurity,omitzero"`
	// RegistrySource is "" for the embedded registry; RegistryAccess has the access settings of an
	// external one.
	RegistrySource RegistrySource               `json:"registrySource,omitempty"`
	RegistryAccess schema.Access                `json:"registryAccess,omitzero"`
	Java           string                       `json:"java,omitempty"` // the program that runs Apache Kafka
	KafkaJars      string                       `json:"kafkaJars,omitempty"`
	Compose        bool                         `json:"compose,omitempty"` // the processes are containers
	Capture        bool                         `json:"capture,omitempty"` // there is Kafka Connect, for change data capture
	ConnectJars    string                       `json:"connectJars,omitempty"`
	Secrets        string                       `json:"secrets,omitempty"` // folder of the containers' passwords
	Project        string                       `json:"project,omitempty"` // created by docker compose; "" is a project of this stack's own
	Env            map[string]map[string]string `json:"env"`               // settings given by users, by process
	Once           map[string]map[string]string `json:"once,omitempty"`    // the same, until the stack is down
}

// Open returns the stack in a state folder, which need not exist yet.
func Open(state, root, self string, out io.Writer) (*Stack, error) {
	state, err := filepath.Abs(state)
	if err != nil {
		return nil, err
	}
	s := &Stack{State: state, Root: root, Self: self, Out: out, processes: process.Runner{Dir: filepath.Join(state, "run")}}
	return s, s.load()
}

// load reads state.json. Without the file the stack is unknown.
func (s *Stack) load() error {
	f, err := s.read()
	if err != nil {
		return err
	}
	s.file = f
	return nil
}

func (s *Stack) read() (File, error) {
	var f File
	b, err := os.ReadFile(s.path())
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		return f, fmt.Errorf("read %s: %w", s.path(), err)
	}
	return f, nil
}

func (s *Stack) path() string { return filepath.Join(s.State, "state.json") }

// bin returns the path of a built program.
func (s *Stack) bin(name string) string { return filepath.Join(s.State, "bin", name) }

func (s *Stack) save() error {
	b, err := json.MarshalIndent(s.file, "", "  ")
	if err != nil {
		return err
	}
	// The file contains passwords.
	tmp := s.path() + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, s.path())
}

// File returns the stack's stored state; its maps are nil if it was never up.
func (s *Stack) File() File { return s.file }

// RegistryForServices returns the registry's URL for the services.
func (f File) RegistryForServices() string {
	if f.Compose {
		return "http://registry:8081"
	}
	return f.URL[Registry]
}

// Known reports whether the stack has been up before.
func (s *Stack) Known() bool { return s.file.Ports != nil }

// DataDir returns a program's data folder: of the embedded broker and registry, and of the
// simulated external systems. The database server's files may be elsewhere.
func (s *Stack) DataDir(name string) string { return filepath.Join(s.State, name) }

// LogFile returns the path of a process's log.
func (s *Stack) LogFile(name string) string { return filepath.Join(s.State, "logs", name+".log") }

// Status returns the status of each process.
func (s *Stack) Status() (map[string]process.Status, error) {
	return s.runs().Status(s.Processes())
}

// Running returns the pids of the running processes.
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

// expected returns the processes that this stack runs itself.
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
