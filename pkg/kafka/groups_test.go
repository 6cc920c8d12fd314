package kafka_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/kafkatest"
)

// TestDescribeGroups: the members of a group are known with the topics that each of them subscribes to.
func TestDescribeGroups(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Start(t, event.NewTopic("books.events", nil), event.NewTopic("books.commands", nil))
	client := kafkatest.NewClient(t, brokers)
	join := func(id string, topics ...string) *kgo.Client {
		member := kafkatest.NewClient(t, brokers, kgo.ClientID(id), kgo.ConsumerGroup("library"), kgo.ConsumeTopics(topics...))
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				member.PollFetches(ctx)
			}
		}()
		t.Cleanup(func() { cancel(); <-done })
		return member
	}
	described := func() []kafka.Group {
		groups, err := kafka.DescribeGroups(t.Context(), client, "nowhere", "library")
		if err != nil {
			t.Fatal(err)
		}
		return groups
	}
	nowhere := kafka.Group{Name: "nowhere", Settled: true}
	if diff := cmp.Diff([]kafka.Group{nowhere, {Name: "library", Settled: true}}, described()); diff != "" {
		t.Errorf("before there are members (-want +got):\n%s", diff)
	}
	join("new", "books.events", "books.commands")
	old := join("old", "books.events")
	kafkatest.Eventually(t, "both are members", func() bool {
		library := described()[1]
		return library.Settled && len(library.Members) == 2
	})
	groups := described()
	for i := range groups[1].Members {
		if m := &groups[1].Members[i]; m.Host == "" {
			t.Errorf("%s has no host", m.ClientID)
		} else {
			m.Host = ""
		}
	}
	slices.SortFunc(groups[1].Members, func(a, b kafka.GroupMember) int { return len(b.Topics) - len(a.Topics) })
	want := []kafka.Group{nowhere, {Name: "library", Settled: true, Members: []kafka.GroupMember{
		{ClientID: "new", Topics: []string{"books.commands", "books.events"}},
		{ClientID: "old", Topics: []string{"books.events"}},
	}}}
	if diff := cmp.Diff(want, groups); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	old.LeaveGroup()
	kafkatest.Eventually(t, "one has left", func() bool {
		library := described()[1]
		return library.Settled && len(library.Members) == 1
	})
}

// TestDescribeGroupsWithoutABroker: no answer is an error, not an empty group.
func TestDescribeGroupsWithoutABroker(t *testing.T) {
	t.Parallel()
	client := kafkatest.NewClient(t, []string{"127.0.0.1:1"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if groups, err := kafka.DescribeGroups(ctx, client, "library"); err == nil {
		t.Errorf("%+v", groups)
	}
}
