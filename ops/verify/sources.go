package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kerr"

	"eventshop.example/ops/eventshop"
	"eventshop.example/ops/jsonhttp"
	"eventshop.example/ops/quote"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/schema"
)

// Sources are the addresses of the facts. DSN has one Postgres URL for each of order, payment,
// inventory, shipping, orchestrator, notification and projection; Registries has the registry that
// each uses. A shop of the release before has no orchestrator.
type Sources struct {
	DSN        map[string]string
	Kafka      kafka.Cluster
	Registries map[string]Registry
	GatewayURL string
	MailboxURL string
	Reading    func(what string) // called before each part is read; may be nil
}

// Registry is the registry with the schemas that a service writes with.
type Registry struct {
	Address string // for people: without user and password
	Client  *schema.Client
}

// SourcesOf returns the sources of a shop. registry, if not "", replaces the registry address of
// the services. It returns an error if processes of one service use different registries.
func SourcesOf(a eventshop.Addresses, registry string) (Sources, error) {
	src := Sources{DSN: a.DSN, Kafka: a.Kafka, Registries: map[string]Registry{}, GatewayURL: a.URL[eventshop.Gateway], MailboxURL: a.URL[eventshop.Mailbox]}
	made := map[eventshop.Registry]Registry{}
	for _, service := range installed(a.DSN) {
		r, err := a.Registry(service)
		if err != nil && registry == "" {
			return Sources{}, err
		}
		if registry != "" {
			r.URL = registry
		}
		if _, ok := made[r]; !ok {
			made[r] = Registry{Address: r.String(), Client: r.Client()}
		}
		src.Registries[service] = made[r]
	}
	return src, nil
}

// Unreachable names a part of the shop that did not answer. Load's error may contain several.
type Unreachable struct {
	Part    string // "order's database", "Kafka", "the gateway", "the mailbox", "the schema registry"
	Address string // without user and password
	Err     error
}

func (u *Unreachable) Error() string {
	why := u.Err
	if op, ok := errors.AsType[*net.OpError](why); ok { // otherwise its text repeats the address, in several lines
		why = op.Err
	}
	if refused, ok := errors.AsType[*pgconn.PgError](why); ok {
		why = refused
	}
	if errors.Is(why, context.DeadlineExceeded) {
		return fmt.Sprintf("%s at %s does not answer in time", u.Part, u.Address)
	}
	return fmt.Sprintf("%s at %s does not answer: %s", u.Part, u.Address, quote.Text(why.Error()))
}

func (u *Unreachable) Unwrap() error { return u.Err }

// answerWithin bounds a part's first answer. A healthy part answers within milliseconds; a frozen
// one accepts connections and does not answer.
const answerWithin = 10 * time.Second

// reach opens every database and checks in parallel that the other parts answer. The error names
// all parts that did not answer.
func reach(ctx context.Context, src Sources) (map[string]*pgx.Conn, error) {
	within, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	services := keys(src.DSN, nil)
	conns, failed := make([]*pgx.Conn, len(services)), make([]error, len(services)+3)
	var wg sync.WaitGroup
	for i, service := range services {
		wg.Go(func() {
			var err error
			if conns[i], err = pgx.Connect(within, src.DSN[service]); err != nil {
				failed[i] = src.databaseAway(service, err)
			}
		})
	}
	wg.Go(func() { failed[len(services)] = src.askKafka(within) })
	wg.Go(func() { failed[len(services)+1] = answering(within, "the gateway", src.GatewayURL) })
	wg.Go(func() { failed[len(services)+2] = answering(within, "the mailbox", src.MailboxURL) })
	wg.Wait()
	opened := map[string]*pgx.Conn{}
	for i, service := range services {
		if conns[i] != nil {
			opened[service] = conns[i]
		}
	}
	if err := errors.Join(failed...); err != nil {
		closeAll(ctx, opened)
		return nil, err
	}
	return opened, nil
}

func closeAll(ctx context.Context, conns map[string]*pgx.Conn) {
	for _, c := range conns {
		_ = c.Close(context.WithoutCancel(ctx)) // nothing was written
	}
}

func (src Sources) databaseAway(service string, err error) error {
	address := "an address that cannot be read"
	if cfg, parse := pgx.ParseConfig(src.DSN[service]); parse == nil {
		address = fmt.Sprintf("%s:%d", cfg.Host, cfg.Port)
	}
	return &Unreachable{Part: service + "'s database", Address: address, Err: err}
}

// lost names the database whose connection an error has broken. It returns other errors unchanged.
func (src Sources) lost(conns map[string]*pgx.Conn, err error) error {
	var known *Unreachable
	if err == nil || errors.As(err, &known) {
		return err
	}
	for _, service := range keys(conns, nil) {
		if conns[service].IsClosed() {
			return src.databaseAway(service, err)
		}
	}
	return err
}

func (src Sources) askKafka(ctx context.Context) error {
	cl, err := src.Kafka.Client()
	if err != nil {
		return err
	}
	defer cl.Close()
	return src.kafkaAway(cl.Ping(ctx))
}

// kafkaAway reports whether an error means that the cluster does not answer, not that it answers
// with an error.
func (src Sources) kafkaAway(err error) error {
	if answer := (*kerr.Error)(nil); err == nil || errors.As(err, &answer) {
		return err
	}
	return &Unreachable{Part: "Kafka", Address: strings.Join(src.Kafka.Brokers, ","), Err: err}
}

// answering checks that a simulated external system answers. It accepts any answer.
func answering(ctx context.Context, part, address string) error {
	_, err := jsonhttp.New(address, http.DefaultClient).Send(ctx, http.MethodGet, "/livez", nil)
	if u, ok := errors.AsType[*jsonhttp.Unreachable](err); ok {
		return &Unreachable{Part: part, Address: address, Err: withoutURL(u.Unwrap())}
	}
	if err != nil {
		return fmt.Errorf("ask %s: %w", part, err)
	}
	return nil
}

// withoutURL removes method and URL from a request's error, because its reader knows them.
func withoutURL(err error) error {
	if request, ok := errors.AsType[*url.Error](err); ok {
		return request.Err
	}
	return err
}
