package stack

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"eventshop.example/local/connect"
	"eventshop.example/local/jars"
	"eventshop.example/local/relay"
	"eventshop.example/pkg/kafka"
)

// captureWithin is how long the relays may take to change at the end of Up.
const captureWithin = 2 * time.Minute

// captured lists the services whose events Debezium can relay. Projection publishes none.
func captured() []string { return []string{"order", "payment", "inventory", "shipping"} }

// settleCapture takes over the choice of change data capture. A stack that had it keeps it.
func (s *Stack) settleCapture(chosen bool) error {
	f := &s.file
	if chosen && !f.Compose && (f.KafkaSource == "" || f.KafkaSource == Embedded) {
		return errors.New("--cdc needs Kafka Connect, which the embedded broker does not carry (it has no transactions of several producers): use --kafka=apache, --kafka=HOST:PORT or --compose")
	}
	if chosen && f.KafkaSecurity != (kafka.Security{}) {
		return errors.New("--cdc: Kafka Connect is not told how a cluster is secured; run one of your own and use `shop relay use debezium --connect URL`")
	}
	f.Capture = f.Capture || chosen
	return nil
}

// worker is the stack's Kafka Connect.
func (s *Stack) worker() connect.Worker {
	f := s.file
	return connect.Worker{Java: f.Java, Jars: f.ConnectJars, Dir: filepath.Join(s.State, Connect), Port: f.Ports[Connect], Brokers: f.Kafka}
}

func (s *Stack) startConnect(ctx context.Context) (err error) {
	f := &s.file
	if f.Java, err = jars.Java(ctx); err != nil {
		return err
	}
	if f.ConnectJars, err = jars.Fetch(ctx, jars.Connect, func(what string) { fmt.Fprintln(s.Out, what) }); err != nil {
		return err
	}
	return s.startAll(ctx, []string{Connect})
}

// capture has Debezium relay the services' events, in a stack that has Kafka Connect.
func (s *Stack) capture(ctx context.Context) error {
	if !s.file.Capture {
		return nil
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, captureWithin)
	defer cancel()
	services, err := s.Relays()
	if err != nil {
		return err
	}
	client, err := s.file.Cluster().Client()
	if err != nil {
		return err
	}
	defer client.Close()
	control := relay.Control{Connect: connect.NewClient(s.file.URL[Connect]), Kafka: client, By: "shop up"}
	failures := make([]error, len(services))
	var wg sync.WaitGroup
	for i, service := range services {
		wg.Go(func() { failures[i] = control.UseDebezium(ctx, service) })
	}
	wg.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	s.step(began, "Debezium relays")
	return nil
}

// Relays returns the services whose relay can change, as this stack has them.
func (s *Stack) Relays() ([]relay.Service, error) {
	var all []relay.Service
	for _, name := range captured() {
		r := relay.Service{Name: name, Database: s.file.DSN[name]}
		for _, process := range s.replicas(name) {
			r.Operators = append(r.Operators, s.file.Operators[process])
		}
		if s.file.Compose {
			// As the worker sees the database, and its start script the passwords.
			r.Connector = connect.Connector{Host: ownDatabase(name), Port: 5432, Database: name, User: name + "_cdc",
				Password: "${dir:/tmp/secrets:" + name + "_cdc_password}"}
			all = append(all, r)
			continue
		}
		if err := s.asSuperuser(&r); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// asSuperuser has slot and connector of a service use the only role that may read the log
// in a stack of programs. The worker reads its password from a file.
func (s *Stack) asSuperuser(r *relay.Service) error {
	admin, err := url.Parse(s.file.Admin)
	if err != nil {
		return fmt.Errorf("the database server's address: %w", err)
	}
	own, err := url.Parse(s.file.DSN[r.Name])
	if err != nil {
		return fmt.Errorf("the address of %s's database: %w", r.Name, err)
	}
	admin.Path = own.Path
	r.Database = admin.String()
	port, err := strconv.Atoi(admin.Port())
	if err != nil {
		port = 5432
	}
	password, _ := admin.User.Password()
	dir := filepath.Join(s.State, Connect, "secrets")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "postgres"), []byte(password), 0o600); err != nil {
		return err
	}
	r.Connector = connect.Connector{Host: admin.Hostname(), Port: port, Database: own.Path[1:], User: admin.User.Username(),
		Password: "${dir:" + dir + ":postgres}"}
	return nil
}
