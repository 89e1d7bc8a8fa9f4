package server

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// However many ask while the store hangs, all have their answer when the one look
// at it has ended.
func TestLookThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		l := newLook(time.Second, func(ctx context.Context) error {
			looks++
			<-ctx.Done()
			return ctx.Err()
		})
		begin := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if l.result(t.Context(), time.Now) == nil {
					t.Error("healthy")
				}
			})
			time.Sleep(100 * time.Millisecond)
		}
		wg.Wait()
		if took := time.Since(begin); looks != 1 || took > answerTime {
			t.Errorf("%d looks in %v", looks, took)
		}
	})
}
