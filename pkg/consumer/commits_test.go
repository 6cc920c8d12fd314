package consumer_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/kafkatest"
)

// A broker refuses every commit of offsets. The records are handled, and Ready reports the refusal
// until a commit is accepted.
func TestRefusedOffsetCommitsAreShown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	refusing := make(chan struct{})
	f.cluster.ControlKey(int16(kmsg.OffsetCommit), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		f.cluster.KeepControl()
		select {
		case <-refusing:
			return nil, nil, false
		default:
		}
		req := kreq.(*kmsg.OffsetCommitRequest)
		resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, t := range req.Topics {
			answer := kmsg.OffsetCommitResponseTopic{Topic: t.Topic, TopicID: t.TopicID}
			for _, p := range t.Partitions {
				answer.Partitions = append(answer.Partitions, kmsg.OffsetCommitResponseTopicPartition{
					Partition: p.Partition, ErrorCode: kerr.GroupAuthorizationFailed.Code,
				})
			}
			resp.Topics = append(resp.Topics, answer)
		}
		return resp, nil, true
	})
	reg := prometheus.NewRegistry()
	c := f.start(consumer.Config{Subscriptions: []consumer.Subscription{on(simply)}, Registerer: reg})
	f.place(f.record(collected("a"), 1))
	f.awaitEffects(1)
	f.awaitWaiting(c, "offsets of group testers are not committed")
	if err := c.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "GROUP_AUTHORIZATION_FAILED") {
		t.Errorf("the reason is %v", err)
	}
	if n := counter(t, reg, "consumer_offset_commits_refused_total", "committing", "testers"); n == 0 {
		t.Error("no refused commit counted")
	}
	close(refusing)
	f.awaitReady(c)
	admin := kadm.NewClient(kafkatest.NewClient(t, f.brokers))
	kafkatest.Eventually(t, "the offset committed", func() bool {
		all, err := admin.FetchOffsets(t.Context(), group)
		at, ok := all.Lookup("parcel.events", 0)
		return err == nil && ok && at.At == 1
	})
}
