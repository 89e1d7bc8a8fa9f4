package main

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Int32
		q := tellOfQuiet(func() { told.Add(1) })
		for range 10 { // something happens often
			time.Sleep(quietTime - time.Second)
			q.broken(func() {})
		}
		synctest.Wait()
		if n := told.Load(); n != 0 {
			t.Errorf("told %d times of a quiet that there was not", n)
		}
		time.Sleep(3*quietTime + time.Second)
		synctest.Wait()
		if n := told.Load(); n != 3 {
			t.Errorf("told %d times in three times the quiet, want 3", n)
		}
		q.end()
		time.Sleep(10 * quietTime)
		synctest.Wait()
		if n := told.Load(); n != 3 {
			t.Errorf("told %d times at the end, want 3", n)
		}
	})
}
