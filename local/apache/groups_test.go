package apache

import (
	"context"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/local/broker"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/kafkatest"
)

// TestGroupsAreDescribed: Apache Kafka says which topics each member of a group subscribes to, and that a
// group does not exist, as the embedded broker does (pkg/kafka, TestDescribeGroups).
func TestGroupsAreDescribed(t *testing.T) {
	t.Parallel()
	r := start(t, node(t))
	topics := []event.Topic{{Name: "books.commands", Partitions: 3}, {Name: "books.events", Partitions: 3}}
	if err := broker.CreateTopics(t.Context(), kafka.Cluster{Brokers: []string{r.address()}}, topics...); err != nil {
		t.Fatal(err)
	}
	join := func(process string, topics ...string) (leave func()) {
		c := r.client(kgo.ClientID(process), kgo.ConsumerGroup("library"), kgo.ConsumeTopics(topics...), kgo.Balancers(kgo.CooperativeStickyBalancer()))
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				c.PollFetches(ctx)
			}
		}()
		leave = func() { cancel(); <-done; c.LeaveGroup() }
		t.Cleanup(leave)
		return leave
	}
	client := r.client()
	library := func() kafka.Group {
		groups, err := kafka.DescribeGroups(t.Context(), client, "library", "nowhere")
		if err != nil {
			t.Log(err) // the coordinator of a new cluster needs a moment
			return kafka.Group{}
		}
		if nowhere := groups[1]; !nowhere.Settled || len(nowhere.Members) > 0 {
			t.Errorf("a group that does not exist: %+v", nowhere)
		}
		return groups[0]
	}
	join("new", "books.commands", "books.events")
	leave := join("old", "books.events")
	has := func(process string, topics ...string) bool {
		return slices.ContainsFunc(library().Members, func(m kafka.GroupMember) bool {
			return m.ClientID == process && slices.Equal(m.Topics, topics) && m.Host != ""
		})
	}
	kafkatest.Eventually(t, "both are members, with their topics", func() bool {
		return has("new", "books.commands", "books.events") && has("old", "books.events")
	})
	leave()
	kafkatest.Eventually(t, "one has left", func() bool {
		g := library()
		return g.Settled && len(g.Members) == 1 && g.Members[0].ClientID == "new"
	})
}
