package topics

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
)

func client(t *testing.T) *kgo.Client {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	c, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func wantDifferences(t *testing.T, c *kgo.Client, declared []event.Topic, want ...Difference) []Difference {
	t.Helper()
	got, err := Compare(t.Context(), c, declared)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(Difference{})); d != "" {
		t.Fatalf("differences (-want +got):\n%s", d)
	}
	return got
}

// TestReconcile: changes made on the cluster are found and reverted to the declaration, except
// where that would move keys or delete something.
func TestReconcile(t *testing.T) {
	t.Parallel()
	c := client(t)
	declared := []event.Topic{
		{Name: "a", Partitions: 6, Config: map[string]string{"retention.ms": "-1", "cleanup.policy": "delete"}},
		{Name: "b", Partitions: 6},
	}
	missing := wantDifferences(t, c, declared, Difference{Topic: "a", Kind: Missing}, Difference{Topic: "b", Kind: Missing})
	if _, left, err := Apply(t.Context(), c, missing, Options{}); err != nil || len(left) != 0 {
		t.Fatalf("left %v, %v", left, err)
	}
	wantDifferences(t, c, declared)
	// Twice, as two concurrent deployments would.
	if _, left, err := Apply(t.Context(), c, missing, Options{}); err != nil || len(left) != 0 {
		t.Fatalf("again: left %v, %v", left, err)
	}

	admin := kadm.NewClient(c)
	retention, size := "1000", "2000000"
	_, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "retention.ms", Value: &retention},
		{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &size},
	}, "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(t.Context(), 1, -1, nil, "stranger"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(t.Context(), 1, -1, nil, "_internal"); err != nil {
		t.Fatal(err)
	}
	declared[1].Partitions = 8
	grown := Difference{Topic: "b", Kind: Partitions, Want: "8", Have: "6"}
	stranger := Difference{Topic: "stranger", Kind: Unknown, Have: Empty}
	changed := wantDifferences(t, c, declared,
		Difference{Topic: "a", Kind: Undeclared, Config: "max.message.bytes", Have: size},
		Difference{Topic: "a", Kind: Setting, Config: "retention.ms", Want: "-1", Have: retention},
		grown, stranger)
	if _, left, err := Apply(t.Context(), c, changed, Options{}); err != nil || len(left) != 2 {
		t.Fatalf("left %v, %v; want the partitions and the stranger", left, err)
	}
	last := wantDifferences(t, c, declared, grown, stranger)
	if _, left, err := Apply(t.Context(), c, last, Options{Grow: true}); err != nil || len(left) != 1 {
		t.Fatalf("left %v, %v; want the stranger", left, err)
	}
	declared[1].Partitions = 2 // partitions are never removed
	fewer := wantDifferences(t, c, declared, Difference{Topic: "b", Kind: Partitions, Want: "2", Have: "8"}, stranger)
	if _, left, err := Apply(t.Context(), c, fewer, Options{Grow: true}); err != nil || len(left) != 2 {
		t.Fatalf("left %v, %v; want both", left, err)
	}
}

// TestUnknownTopicsHaveRecordsOrNot: operators may delete a topic that no group of this release reads, once
// it is empty. Nothing else makes the topic go.
func TestUnknownTopicsHaveRecordsOrNot(t *testing.T) {
	t.Parallel()
	c := client(t)
	admin := kadm.NewClient(c)
	former := event.DeadLetterTopic("order.notifications", "payment")
	if err := Create(t.Context(), c, []event.Topic{former}, 0); err != nil {
		t.Fatal(err)
	}
	differs := func(have, says string) {
		t.Helper()
		found := wantDifferences(t, c, nil, Difference{Topic: former.Name, Kind: Unknown, Have: have})
		if want := former.Name + ": is not declared; " + says; found[0].String() != want {
			t.Errorf("says %q, want %q", found[0], want)
		}
		if done, left, err := Apply(t.Context(), c, found, Options{}); err != nil || len(done) != 0 || len(left) != 1 {
			t.Errorf("done %v, left %v, %v; want the topic left as it is", done, left, err)
		}
	}
	differs(Empty, "it is empty")
	if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: former.Name, Value: []byte("a dead letter")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	differs(Records, "it has records")
	ends, err := admin.ListEndOffsets(t.Context(), former.Name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.DeleteRecords(t.Context(), ends.Offsets()); err != nil {
		t.Fatal(err)
	}
	differs(Empty, "it is empty")
}

// TestAPartitionThatIsNotListedMayHaveRecords: a topic is not called empty when a broker does not answer
// for one of its partitions.
func TestAPartitionThatIsNotListedMayHaveRecords(t *testing.T) {
	t.Parallel()
	c := client(t)
	if err := Create(t.Context(), c, []event.Topic{{Name: "seen", Partitions: 2}}, 0); err != nil {
		t.Fatal(err)
	}
	if got := contents(t.Context(), kadm.NewClient(c), map[string]int32{"seen": 3}); len(got) != 0 {
		t.Errorf("%v, with a partition unseen", got)
	}
}
