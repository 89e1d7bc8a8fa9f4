package main

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		q := tellOfQuiet(func() { told++ })
		for range 10 { // something happens often
			time.Sleep(quietTime - time.Second)
			q.broken(func() {})
		}
		synctest.Wait()
		if told != 0 {
			t.Errorf("told %d times of a quiet that there was not", told)
		}
		time.Sleep(3*quietTime + time.Second)
		synctest.Wait()
		if told != 3 {
			t.Errorf("told %d times in three times the quiet, want 3", told)
		}
		q.end()
		time.Sleep(10 * quietTime)
		synctest.Wait()
		if told != 3 {
			t.Errorf("told %d times at the end, want 3", told)
		}
	})
}
