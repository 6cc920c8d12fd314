package eventstore_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/pgtest"
)

// TestSnapshotAndTailAreTheReplay: whatever snapshots there are, of whatever intervals and formats, and
// whatever happened to them, the state at any version is the fold of the events up to it.
func TestSnapshotAndTailAreTheReplay(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	stream := 0
	rapid.Check(t, func(rt *rapid.T) {
		stream++
		id, length := fmt.Sprintf("s%d", stream), int64(0)
		names := ""
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			p := newPaths(t, pool, rapid.IntRange(1, 3).Draw(rt, "format"), rapid.Int64Range(1, 5).Draw(rt, "every"))
			switch rapid.IntRange(0, 4).Draw(rt, "step") {
			case 0, 1:
				more := letters(rapid.IntRange(1, 30).Draw(rt, "events"))
				mustAppend(t, pool, id, length, more...)
				length, names = length+int64(len(more)), names+strings.Join(more, "")
			case 2: // damage, of some rows
				damage := rapid.SampledFrom([]string{
					`UPDATE stream_snapshots SET state = '{"names":"wrong"}'`, `UPDATE stream_snapshots SET checksum = 'x'`, `DELETE FROM stream_snapshots`,
				}).Draw(rt, "damage")
				if _, err := pool.Exec(t.Context(), damage+` WHERE stream_id = $1 AND version % $2 = 0`, id, rapid.IntRange(1, 4).Draw(rt, "which")); err != nil {
					rt.Fatal(err)
				}
			default:
				version := rapid.Int64Range(1, length+2).Draw(rt, "version")
				for range 2 { // from what there is, and from what that wrote
					now, err := p.Load(t.Context(), pool, id)
					if err != nil || now[id].State.Names != names || now[id].Version != length {
						rt.Fatalf("now %+v, %v; want %s", now[id], err, names)
					}
					then, err := p.LoadVersion(t.Context(), pool, id, version)
					if want := names[:min(version, length)]; err != nil || then.State.Names != want {
						rt.Fatalf("at version %d %+v, %v; want %s", version, then, err, want)
					}
					if err := p.Flush(t.Context()); err != nil {
						rt.Fatal(err)
					}
				}
			}
		}
	})
}
