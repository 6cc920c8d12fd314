package projection

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestASetHasTheOldestRecords: the records of all partitions are taken by their time, those of a partition
// by their offset, and none at or above the bound.
func TestASetHasTheOldestRecords(t *testing.T) {
	t.Parallel()
	topic := uuid.Must(uuid.NewV7())
	s := &source{ahead: map[partition][]*kgo.Record{}, next: positions{}, counts: map[partition]bool{}}
	for number, seconds := range [][]int64{{10, 40, 30, 70}, {20, 25, 50}, {5}} {
		at := partition{topic, int32(number)}
		s.counts[at] = true
		for offset, second := range seconds {
			s.ahead[at] = append(s.ahead[at], &kgo.Record{Partition: at.number, Offset: int64(offset), Timestamp: time.Unix(second, 0)})
			s.has++
		}
	}
	bound := positions{{topic, 0}: 3, {topic, 1}: 3}
	take := func(most int) (got [][2]int64) {
		for _, r := range s.oldest(bound, most) {
			got = append(got, [2]int64{int64(r.Partition), r.Offset})
		}
		return got
	}
	if diff := cmp.Diff([][2]int64{{0, 0}, {1, 0}, {1, 1}, {0, 1}}, take(4)); diff != "" {
		t.Errorf("first set (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][2]int64{{0, 2}, {1, 2}}, take(4)); diff != "" {
		t.Errorf("second set (-want +got):\n%s", diff)
	}
	if got := take(4); got != nil {
		t.Errorf("behind the bound: %v", got)
	}
	if diff := cmp.Diff(positions{{topic, 0}: 3, {topic, 1}: 3}, s.next, cmp.AllowUnexported(partition{})); diff != "" || s.has != 2 {
		t.Errorf("%d records are left; positions (-want +got):\n%s", s.has, diff)
	}
}
