// The MPIJob of a run, byte for byte.
#include "launch/mpi_job.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/launch/job.h"

namespace moat::launch {
namespace {

TEST(MpiJob, GoldenManifest) {
  EXPECT_EQ(MpiJob(Job({"--emit=mpijob", "--nodes=2", "--ranks_per_node=4", "--gpus_per_node=4",
                        "--threads=2", "--container=registry/moat:1.2", "--run=My_run",
                        "--env=NOTE=it's \"quoted\""})),
            R"golden(apiVersion: kubeflow.org/v2beta1
kind: MPIJob
metadata:
  name: moat-my-run
spec:
  slotsPerWorker: 4
  runPolicy:
    cleanPodPolicy: Running
  mpiReplicaSpecs:
    Launcher:
      replicas: 1
      restartPolicy: Never
      template:
        spec:
          containers:
            - name: moat
              image: "registry/moat:1.2"
              workingDir: "/home/ada"
              command:
                - "moat"
                - "launch"
                - "--data=d"
                - "--run=My_run"
                - "--threads=2"
                - "--env=NOTE=it's \"quoted\""
                - "--gpus_per_node=4"
                - "--nodes=2"
                - "--ranks_per_node=4"
                - "--hostfile=/etc/mpi/hostfile"
              volumeMounts:
                - name: work
                  mountPath: "/home/ada"
          volumes:
            - name: work
              persistentVolumeClaim:
                claimName: moat-work
    Worker:
      replicas: 2
      restartPolicy: Never
      template:
        spec:
          containers:
            - name: moat
              image: "registry/moat:1.2"
              workingDir: "/home/ada"
              resources:
                limits:
                  cpu: 8
                  nvidia.com/gpu: 4
              volumeMounts:
                - name: work
                  mountPath: "/home/ada"
          volumes:
            - name: work
              persistentVolumeClaim:
                claimName: moat-work
)golden");
}

TEST(MpiJob, NeedsAnImage) { EXPECT_THROW(MpiJob(Job({"--nodes=1"})), core::ConfigError); }

}  // namespace
}  // namespace moat::launch
