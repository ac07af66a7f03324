# ROS 2 Jazzy with this package built in a workspace, as README.md builds one.
#   docker build -t mppi_maml_ros . && docker run --rm -it --network host mppi_maml_ros
FROM ros:jazzy-ros-base
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /workspace
COPY . src/mppi_maml_ros
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-venv \
 && rosdep update --rosdistro "$ROS_DISTRO" \
 && rosdep install --from-paths src --ignore-src --skip-keys python3-numba -y \
 && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv --system-site-packages .venv && touch .venv/COLCON_IGNORE \
 && .venv/bin/pip install --no-cache-dir "numpy<2" "numba>=0.60" "safetensors>=0.4.5"
# ROS's setup files use variables that are not set.
RUN set +u && source "/opt/ros/$ROS_DISTRO/setup.bash" && source .venv/bin/activate \
 && colcon build --packages-select mppi_maml_ros
# Another processor than that of the build compiles anew at its first start.
RUN set +u && source install/setup.bash && .venv/bin/python -m mppi_maml_ros.warm_up
ENTRYPOINT ["/bin/bash", "-c", "source /workspace/install/setup.bash && exec \"$@\"", "bash"]
CMD ["ros2", "launch", "mppi_maml_ros", "sim.launch.py"]
