package e2e

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestFrozenServicesThaw freezes each service in turn (SIGSTOP) while orders are placed, until the
// broker has removed it from the group (6 s; its relay's lease of 3 s has expired by then). Then it
// resumes the service (SIGCONT) and checks for lost, duplicated or reordered events.
func TestFrozenServicesThaw(t *testing.T) {
	if testing.Short() {
		t.Skip("the long run is left out with -short")
	}
	s := shared(t)
	s.receive(t, "FROZEN-1", 100)
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	var ids []string
	place := func() {
		a := post(t, s.URL["order"]+"/orders", orderBody("frozen", "FROZEN-1", 1))
		if a.status != http.StatusCreated {
			t.Fatalf("%d %s", a.status, a.body)
		}
		ids = append(ids, a.field(t, "orderId"))
	}
	for _, target := range []string{"payment", "inventory", "shipping", "projection"} {
		place()
		s.must(t, "pause", target)
		for range 5 {
			place()
		}
		eventually(t, time.Minute, target+"'s membership is over", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			groups, err := adm.DescribeGroups(ctx, target)
			return err == nil && len(groups[target].Members) == 0
		})
		s.must(t, "resume", target)
	}
	for _, id := range ids {
		s.awaitStatus(t, id, "DELIVERED")
	}
	s.verify(t)
}
