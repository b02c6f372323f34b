// The ant's world in Bullet, as PyBullet makes it for the environment of override_ant.py, for JavaScript.
//
// PyBullet is a thin layer over the C API of Bullet's physics server. The functions below send that server the commands that
// upstream's scene_stadium.py, scene_abstract.py and robot_bases.py send, in the same order, so the simulation is the same.
// There is one world and one ant. Numbers are metres, seconds, radians, newtons; quaternions are x, y, z, w.

#include "SharedMemory/PhysicsClientC_API.h"
#include "SharedMemory/PhysicsDirectC_API.h"
#include "SharedMemory/SharedMemoryPublic.h"

#define EXPORT extern "C" __attribute__((used))

namespace {

const int MOTORS = 8, FLOOR_LINK = -1;
const double TIME_STEP = 0.0165;
const int SUB_STEPS = 4, SOLVER_ITERATIONS = 5;

b3PhysicsClientHandle client = 0;
int floor_body = -1, ant = -1, saved_state = -1;
b3JointInfo motors[MOTORS];

b3SharedMemoryStatusHandle submit(b3SharedMemoryCommandHandle command) {
    return b3SubmitClientCommandAndWaitStatus(client, command);
}

// Upstream's disable_motor(): a position motor without force.
void disable_motor(const b3JointInfo& joint) {
    b3SharedMemoryCommandHandle command = b3JointControlCommandInit2(client, ant, CONTROL_MODE_POSITION_VELOCITY_PD);
    b3JointControlSetDesiredPosition(command, joint.m_qIndex, 0);
    b3JointControlSetKp(command, joint.m_uIndex, 0.1);
    b3JointControlSetDesiredVelocity(command, joint.m_uIndex, 0);
    b3JointControlSetKd(command, joint.m_uIndex, 0.1);
    b3JointControlSetMaximumForce(command, joint.m_uIndex, 0);
    submit(command);
}

}  // namespace

// Gravity in m/s^2, as a positive number.
EXPORT void set_gravity(double gravity) {
    b3SharedMemoryCommandHandle command = b3InitPhysicsParamCommand(client);
    b3PhysicsParamSetGravity(command, 0, 0, -gravity);
    submit(command);
}

// Lateral friction of the floor. Bullet multiplies it by that of the foot.
EXPORT void set_friction(double friction) {
    b3SharedMemoryCommandHandle command = b3InitChangeDynamicsInfo(client);
    b3ChangeDynamicsInfoSetLateralFriction(command, floor_body, FLOOR_LINK, friction);
    submit(command);
}

// Makes the world. Returns the number of the ant's links besides its base, or a negative number.
EXPORT int open_world() {
    client = b3ConnectPhysicsDirect();
    if (!b3CanSubmitCommand(client)) return -1;
    submit(b3InitResetSimulationCommand(client));
    b3SharedMemoryCommandHandle command = b3InitPhysicsParamCommand(client);
    b3PhysicsParameterSetDeterministicOverlappingPairs(command, 1);
    submit(command);
    set_gravity(9.8);
    command = b3InitPhysicsParamCommand(client);
    b3PhysicsParamSetDefaultContactERP(command, 0.9);
    submit(command);
    command = b3InitPhysicsParamCommand(client);
    b3PhysicsParamSetTimeStep(command, TIME_STEP);
    b3PhysicsParamSetNumSolverIterations(command, SOLVER_ITERATIONS);
    b3PhysicsParamSetNumSubSteps(command, SUB_STEPS);
    submit(command);

    if (b3GetStatusBodyIndices(submit(b3LoadSdfCommandInit(client, "/plane_stadium.sdf")), &floor_body, 1) != 1) return -2;
    command = b3InitChangeDynamicsInfo(client);
    b3ChangeDynamicsInfoSetLateralFriction(command, floor_body, FLOOR_LINK, 0.8);
    b3ChangeDynamicsInfoSetRestitution(command, floor_body, FLOOR_LINK, 0.5);
    submit(command);

    command = b3LoadMJCFCommandInit(client, "/ant.xml");
    b3LoadMJCFCommandSetFlags(
        command, URDF_USE_SELF_COLLISION | URDF_USE_SELF_COLLISION_EXCLUDE_ALL_PARENTS | URDF_GOOGLEY_UNDEFINED_COLORS
    );
    if (b3GetStatusBodyIndices(submit(command), &ant, 1) != 1) return -3;
    int found = 0;
    for (int joint = 0; joint < b3GetNumJoints(client, ant); ++joint) {
        b3JointInfo info;
        b3GetJointInfo(client, ant, joint, &info);
        if (info.m_jointType == eRevoluteType && found < MOTORS) {
            motors[found++] = info;
            disable_motor(info);
        }
    }
    return found == MOTORS ? b3GetNumJoints(client, ant) : -4;
}

// Keeps the present state, to which restore_state() returns. One state is kept.
EXPORT void save_state() { saved_state = b3GetStatusGetStateId(submit(b3SaveStateCommandInit(client))); }

EXPORT void restore_state() {
    b3SharedMemoryCommandHandle command = b3LoadStateCommandInit(client);
    b3LoadStateSetStateId(command, saved_state);
    submit(command);
}

// Puts a joint, 0 to 7, at an angle and a speed.
EXPORT void reset_joint(int joint, double angle, double speed) {
    b3SharedMemoryCommandHandle command = b3CreatePoseCommandInit(client, ant);
    b3CreatePoseCommandSetJointPosition(client, command, motors[joint].m_jointIndex, angle);
    b3CreatePoseCommandSetJointVelocity(client, command, motors[joint].m_jointIndex, speed);
    submit(command);
    disable_motor(motors[joint]);
}

// Puts the base at a pose (7) and gives it a velocity (3) and an angular velocity (3).
EXPORT void reset_base(const double* values) {
    b3SharedMemoryCommandHandle command = b3CreatePoseCommandInit(client, ant);
    b3CreatePoseCommandSetBasePosition(command, values[0], values[1], values[2]);
    b3CreatePoseCommandSetBaseOrientation(command, values[3], values[4], values[5], values[6]);
    submit(command);
    command = b3CreatePoseCommandInit(client, ant);
    b3CreatePoseCommandSetBaseLinearVelocity(command, values + 7);
    b3CreatePoseCommandSetBaseAngularVelocity(command, values + 10);
    submit(command);
}

// Sets the torques of the next step, 8 doubles.
EXPORT void set_torques(const double* torques) {
    b3SharedMemoryCommandHandle command = b3JointControlCommandInit2(client, ant, CONTROL_MODE_TORQUE);
    for (int i = 0; i < MOTORS; ++i) b3JointControlSetDesiredForceTorque(command, motors[i].m_uIndex, torques[i]);
    submit(command);
}

// Applies a force (3) at a point (3) of the world to the torso during the next step.
EXPORT void apply_force(const double* force, const double* point) {
    b3SharedMemoryCommandHandle command = b3ApplyExternalForceCommandInit(client);
    b3ApplyExternalForce(command, ant, -1, force, point, EF_WORLD_FRAME);
    submit(command);
}

EXPORT void step() { submit(b3InitStepSimulationCommand(client)); }

// Writes pose (7), velocity (3) and angular velocity (3) of the base, then angle and speed of each motor's joint (16).
EXPORT void get_state(double* out) {
    const double *q, *u;
    b3SharedMemoryStatusHandle status = submit(b3RequestActualStateCommandInit(client, ant));
    b3GetStatusActualState(status, 0, 0, 0, 0, &q, &u, 0);
    for (int i = 0; i < 7; ++i) *out++ = q[i];
    for (int i = 0; i < 6; ++i) *out++ = u[i];
    for (int i = 0; i < MOTORS; ++i) {
        *out++ = q[motors[i].m_qIndex];
        *out++ = u[motors[i].m_uIndex];
    }
}

// Writes the lower and the upper limit of each motor's joint (16).
EXPORT void get_limits(double* out) {
    for (int i = 0; i < MOTORS; ++i) {
        *out++ = motors[i].m_jointLowerLimit;
        *out++ = motors[i].m_jointUpperLimit;
    }
}

// Writes the frame of each link besides the base, position (3) and orientation (4).
EXPORT void get_links(double* out) {
    b3SharedMemoryCommandHandle command = b3RequestActualStateCommandInit(client, ant);
    b3RequestActualStateCommandComputeForwardKinematics(command, 1);
    b3SharedMemoryStatusHandle status = submit(command);
    for (int link = 0; link < b3GetNumJoints(client, ant); ++link) {
        b3LinkState state;
        b3GetLinkState(client, status, link, &state);
        for (int i = 0; i < 3; ++i) *out++ = state.m_worldLinkFramePosition[i];
        for (int i = 0; i < 4; ++i) *out++ = state.m_worldLinkFrameOrientation[i];
    }
}

// The links that touch the floor, as bits: bit i for link i.
EXPORT int get_contacts() {
    b3SharedMemoryCommandHandle command = b3InitRequestContactPointInformation(client);
    b3SetContactFilterBodyA(command, ant);
    submit(command);
    b3ContactInformation contacts;
    b3GetContactPointInformation(client, &contacts);
    int links = 0;
    for (int i = 0; i < contacts.m_numContactPoints; ++i) {
        const b3ContactPointData& point = contacts.m_contactPointData[i];
        if (point.m_bodyUniqueIdB == floor_body && point.m_linkIndexA >= 0) links |= 1 << point.m_linkIndexA;
    }
    return links;
}
