package verify

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
)

// parts returns the parts that an error names as not answering.
func parts(err error) []string {
	var names []string
	var walk func(err error)
	walk = func(err error) {
		if u, ok := err.(*Unreachable); ok { //nolint:errorlint // every one of a joined error is wanted
			names = append(names, u.Part+" at "+u.Address)
			return
		}
		switch e := err.(type) { //nolint:errorlint // likewise
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				walk(inner)
			}
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		}
	}
	walk(err)
	return names
}

// TestLoadNamesEachPartThatIsAway: all of them at once, by name and address, without passwords.
func TestLoadNamesEachPartThatIsAway(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	address := strings.TrimPrefix(gone.URL, "http://")
	gone.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	there, brokers := pgtest.NewURL(t), kafkatest.Start(t)
	gateway := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(gateway.Close)
	box := gateway.URL // any server that answers
	away := "postgres://ada:secret@" + address + "/order"
	for name, c := range map[string]struct {
		src  Sources
		want []string
	}{
		"a database": {
			Sources{DSN: map[string]string{"order": there, "payment": away}, Kafka: kafka.Cluster{Brokers: brokers}, GatewayURL: gateway.URL, MailboxURL: box},
			[]string{"payment's database at " + address},
		},
		"the gateway": {
			Sources{DSN: map[string]string{"order": there}, Kafka: kafka.Cluster{Brokers: brokers}, GatewayURL: gone.URL, MailboxURL: box},
			[]string{"the gateway at " + gone.URL},
		},
		"the mailbox": {
			Sources{DSN: map[string]string{"order": there}, Kafka: kafka.Cluster{Brokers: brokers}, GatewayURL: gateway.URL, MailboxURL: gone.URL},
			[]string{"the mailbox at " + gone.URL},
		},
		"all": {
			Sources{DSN: map[string]string{"order": away, "payment": away}, Kafka: kafka.Cluster{Brokers: []string{address}}, GatewayURL: gone.URL, MailboxURL: gone.URL},
			[]string{"order's database at " + address, "payment's database at " + address, "Kafka at " + address, "the gateway at " + gone.URL, "the mailbox at " + gone.URL},
		},
	} {
		_, err := Load(ctx, c.src, time.Second)
		if got := parts(err); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v (%v)", name, got, c.want, err)
		}
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\t") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestALostConnectionNamesItsDatabase: the connection is cut while the facts are read.
func TestALostConnectionNamesItsDatabase(t *testing.T) {
	t.Parallel()
	src := Sources{DSN: map[string]string{"order": pgtest.NewURL(t)}}
	c, err := pgx.Connect(t.Context(), src.DSN["order"])
	if err != nil {
		t.Fatal(err)
	}
	_, broken := c.Exec(t.Context(), `SELECT pg_terminate_backend(pg_backend_pid())`)
	conns := map[string]*pgx.Conn{"order": c}
	if got := parts(src.lost(conns, broken)); len(got) != 1 || !strings.HasPrefix(got[0], "order's database at ") {
		t.Errorf("%v: %v", broken, got)
	}
	if src.lost(conns, nil) != nil {
		t.Error("no error is one")
	}
	other := errors.New("a mistake")
	alive, err := pgx.Connect(t.Context(), src.DSN["order"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = alive.Close(context.Background()) })
	if got := src.lost(map[string]*pgx.Conn{"order": alive}, other); !errors.Is(got, other) || len(parts(got)) != 0 {
		t.Errorf("of a connection that lives: %v", got)
	}
}
