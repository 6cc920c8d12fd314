package eventshop_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/ops/eventshop"
	"eventshop.example/ops/verify"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// TestTopicsAreThoseOfTheReaders compares the retry and dead-letter topics with the groups that read
// each topic. TestSubscriptionsAreTheServices in ops/verify compares the latter with the services.
func TestTopicsAreThoseOfTheReaders(t *testing.T) {
	t.Parallel()
	var want, got []string
	for _, topic := range events.Topics() {
		want = append(want, topic.Name)
		for _, group := range verify.Readers(topic.Name) {
			want = append(want, event.RetryTopic(topic.Name, group).Name, event.DeadLetterTopic(topic.Name, group).Name)
		}
	}
	for _, topic := range eventshop.Topics() {
		got = append(got, topic.Name)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("topics (-what the groups read +readers in eventshop.go):\n%s", diff)
	}
}

// TestReadersAreServices: a topic of a group that no service has would have no reader.
func TestReadersAreServices(t *testing.T) {
	t.Parallel()
	for _, topic := range events.Topics() {
		for _, group := range verify.Readers(topic.Name) {
			if !slices.Contains(eventshop.Services(), group) {
				t.Errorf("%s is read by %s, which is no service", topic.Name, group)
			}
		}
	}
}
